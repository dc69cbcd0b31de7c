//! The container images of Local-Plus: what is in them, how they are packed, and where their digests are written.
//!
//! Owns: the files of an image ([`tree`], [`base`], [`data`]), how its programs are built ([`programs`]), the OCI
//! layout ([`layer`], [`archive`]), the bill of materials ([`sbom`]), what was made ([`record`]) and the release
//! components of the services ([`release`]). `cargo xtask images` and `cargo xtask release` are thin layers over it.
//! Start reading at [`archive::Image`].
//!
//! Invariants and the tests that hold them:
//! - the same files and commit are the same digest, and the release changes no layer: `tests/layout.rs`;
//! - the base layer has all that a program needs, and no shell: `base::tests`;
//! - a program is the same whether it was asked for alone or with others, and names no folder of the machine that
//!   built it: `programs::tests`, and `cargo xtask images`, which looks into each program;
//! - a release component names one image by its digest: `release::tests`;
//! - the bill of materials of an image names its crates and its Debian packages: `cargo xtask images`, which looks.

pub mod archive;
pub mod base;
pub mod commit;
pub mod data;
pub mod layer;
pub mod programs;
pub mod record;
pub mod release;
pub mod sbom;
pub mod tree;

/// Where images are found. The name is not a host of this world; who installs Local-Plus puts their own.
pub const REGISTRY: &str = "registry.localplus.example";

/// The user and group that every container runs as.
pub const USER: u32 = 65532;
