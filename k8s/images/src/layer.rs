//! A layer: a tar in a file named by its digest.
//!
//! It is not compressed: its digest then depends on its content alone, and not on a compressor and its version too.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use aws_lc_rs::digest::{Context, SHA256};
use oci_spec::image::{Descriptor, MediaType, Sha256Digest};

use crate::tree::Tree;

/// A layer, packed.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Its digest and size.
    pub descriptor: Descriptor,
    /// The file that holds it.
    pub file: PathBuf,
}

impl Layer {
    /// Packs `tree` into a file below `folder`.
    ///
    /// # Errors
    /// When a file of the tree cannot be read, or the layer not be written.
    pub fn of(tree: &Tree, folder: &Path) -> anyhow::Result<Self> {
        Self::write(folder, |tar| tree.pack(tar))
    }

    /// Takes a tar that another program made.
    ///
    /// # Errors
    /// When it cannot be read, or the layer not be written.
    pub fn of_tar(tar: &Path, folder: &Path) -> anyhow::Result<Self> {
        Self::write(folder, |writer| {
            let mut tar = File::open(tar).with_context(|| format!("{} cannot be read", tar.display()))?;
            io::copy(&mut tar, writer)?;
            Ok(())
        })
    }

    fn write(folder: &Path, fill: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut making = tempfile::NamedTempFile::new_in(folder)
            .with_context(|| format!("{} cannot be written", folder.display()))?;
        let hashing = Hashing {
            to: making.as_file_mut(),
            digest: Context::new(&SHA256),
            size: 0,
        };
        // Blocks of a tar are small; the digest and the file are quicker on large ones.
        let mut tar = BufWriter::with_capacity(1 << 20, hashing);
        fill(&mut tar)?;
        let Hashing { digest, size, .. } = tar.into_inner().map_err(io::IntoInnerError::into_error)?;
        let digest = hexadecimal(digest.finish().as_ref());
        let file = folder.join(&digest);
        making.persist(&file)?;
        Ok(Self {
            descriptor: Descriptor::new(MediaType::ImageLayer, size, digest.parse::<Sha256Digest>()?),
            file,
        })
    }
}

/// Passes bytes on and keeps their digest and number.
struct Hashing<W> {
    to: W,
    digest: Context,
    size: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.digest.update(bytes.get(..written).unwrap_or(bytes));
        self.size = self
            .size
            .saturating_add(u64::try_from(written).unwrap_or(u64::MAX));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// The SHA-256 of `bytes`, as 64 hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hexadecimal(aws_lc_rs::digest::digest(&SHA256, bytes).as_ref())
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // A String takes whatever is written.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
