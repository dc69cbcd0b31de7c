//! The files of a layer before they are packed: in one order, owned by root, without times.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tar::{Builder, EntryType, Header};

/// Where a file's bytes are.
#[derive(Debug, Clone)]
pub enum Content {
    /// Here.
    Bytes(Vec<u8>),
    /// In a file of the machine that makes the image; links are followed.
    Path(PathBuf),
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::Bytes(text.into_bytes())
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<&Path> for Content {
    fn from(path: &Path) -> Self {
        Self::Path(path.to_owned())
    }
}

impl Content {
    fn read(&self) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.clone()),
            Self::Path(path) => {
                let mut bytes = Vec::new();
                File::open(path)
                    .and_then(|mut file| file.read_to_end(&mut bytes))
                    .with_context(|| format!("{} cannot be read", path.display()))?;
                Ok(bytes)
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Node {
    Folder { mode: u32 },
    File { mode: u32, content: Content },
    Link { target: PathBuf },
}

/// Files by their path in the image, without the first slash.
#[derive(Debug, Clone, Default)]
pub struct Tree(BTreeMap<String, Node>);

impl Tree {
    /// A file at `path` (`/etc/passwd`), with its folders.
    pub fn file(&mut self, path: &str, mode: u32, content: impl Into<Content>) {
        self.insert(
            path,
            Node::File {
                mode,
                content: content.into(),
            },
        );
    }

    /// An empty folder, with the folders above it.
    pub fn folder(&mut self, path: &str, mode: u32) {
        self.insert(path, Node::Folder { mode });
    }

    /// All that is below a folder of this machine. Files keep whether they may be executed, and links their target.
    ///
    /// # Errors
    /// When something there cannot be read, or is neither file, folder nor link.
    pub fn copy(&mut self, from: &Path, to: &str) -> anyhow::Result<()> {
        let unreadable = || format!("{} cannot be read", from.display());
        for entry in fs::read_dir(from).with_context(unreadable)? {
            let entry = entry.with_context(unreadable)?;
            let path = entry.path();
            let place = format!("{to}/{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.folder(&place, 0o755);
                self.copy(&path, &place)?;
            } else if kind.is_symlink() {
                let target = fs::read_link(&path)?;
                self.insert(&place, Node::Link { target });
            } else if kind.is_file() {
                let executable = entry.metadata()?.permissions().mode() & 0o100 != 0;
                self.file(&place, if executable { 0o755 } else { 0o644 }, path.as_path());
            } else {
                bail!("{} is neither file, folder nor link", path.display());
            }
        }
        Ok(())
    }

    /// The paths, each with its first slash, folders included.
    pub fn paths(&self) -> impl Iterator<Item = String> {
        self.0.keys().map(|path| format!("/{path}"))
    }

    /// Writes the files below an empty or new folder of this machine.
    ///
    /// # Errors
    /// When the folder has something in it already, or cannot be written.
    pub fn write_below(&self, root: &Path) -> anyhow::Result<()> {
        for (path, node) in &self.0 {
            let place = root.join(path);
            let unwritable = || format!("{} cannot be written", place.display());
            match node {
                Node::Folder { mode } => {
                    fs::create_dir_all(&place).with_context(unwritable)?;
                    fs::set_permissions(&place, fs::Permissions::from_mode(*mode))?;
                }
                Node::File { mode, content } => {
                    File::create_new(&place)
                        .and_then(|mut file| file.write_all(&content.read().map_err(std::io::Error::other)?))
                        .with_context(unwritable)?;
                    fs::set_permissions(&place, fs::Permissions::from_mode(*mode))?;
                }
                Node::Link { target } => symlink(target, &place).with_context(unwritable)?,
            }
        }
        Ok(())
    }

    /// Writes the files as a tar whose bytes depend on paths, modes and contents alone.
    pub(crate) fn pack(&self, writer: impl Write) -> anyhow::Result<()> {
        let mut builder = Builder::new(writer);
        for (path, node) in &self.0 {
            match node {
                Node::Folder { mode } => {
                    let mut header = header(EntryType::Directory, *mode, 0);
                    builder.append_data(&mut header, format!("{path}/"), std::io::empty())?;
                }
                Node::File { mode, content } => append(&mut builder, path, *mode, &content.read()?)?,
                Node::Link { target } => {
                    let mut header = header(EntryType::Symlink, 0o777, 0);
                    builder.append_link(&mut header, path, target)?;
                }
            }
        }
        builder.finish()?;
        Ok(())
    }

    fn insert(&mut self, path: &str, node: Node) {
        let path = path.trim_matches('/');
        for (end, _) in path.match_indices('/') {
            let (folder, _) = path.split_at(end);
            self.0
                .entry(folder.to_owned())
                .or_insert(Node::Folder { mode: 0o755 });
        }
        self.0.insert(path.to_owned(), node);
    }
}

/// Appends a file as a layer or an archive has it.
pub(crate) fn append<W: Write>(
    builder: &mut Builder<W>,
    path: &str,
    mode: u32,
    content: &[u8],
) -> anyhow::Result<()> {
    let mut header = header(EntryType::Regular, mode, u64::try_from(content.len())?);
    Ok(builder.append_data(&mut header, path, content)?)
}

/// The header of an entry: owned by root and as old as can be, whoever made it when.
pub(crate) fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}
