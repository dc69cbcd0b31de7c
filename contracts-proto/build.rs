//! Generates messages, clients and servers from the `.proto` files, and the descriptor set that
//! reflection, REST and OpenAPI are made of. No protoc: protox compiles in process.

use std::{env, error::Error, fs, path::Path};

const DOMAINS: [&str; 7] = [
    "common",
    "ledger",
    "wallet",
    "merchant",
    "giftcard",
    "notification",
    "analytics",
];

fn main() -> Result<(), Box<dyn Error>> {
    let mut files = Vec::new();
    for domain in DOMAINS {
        for entry in fs::read_dir(format!("localplus/{domain}/v1"))? {
            files.push(entry?.path());
        }
    }
    files.sort();
    println!("cargo::rerun-if-changed=localplus");
    println!("cargo::rerun-if-changed=third_party");

    let mut compiler = protox::Compiler::new([".", "third_party"])?;
    compiler
        .include_source_info(true)
        .include_imports(true)
        .open_files(&files)?;
    // Encoded by protox, not by prost-types, which would drop our own options.
    let out = env::var("OUT_DIR")?;
    fs::write(
        Path::new(&out).join("descriptors.bin"),
        compiler.encode_file_descriptor_set(),
    )?;

    tonic_prost_build::configure()
        // In order of their names: a request's fingerprint is taken of its bytes.
        .btree_map(".")
        .extern_path(".google.api.HttpBody", "crate::http_body::HttpBody")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
