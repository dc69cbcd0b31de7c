//! An image as an OCI image layout in one tar, as `ctr images import`, `skopeo` and `buildah` read it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::Context as _;
use oci_spec::image::{
    ANNOTATION_CREATED, ANNOTATION_REVISION, ANNOTATION_TITLE, ANNOTATION_VERSION, Arch, ConfigBuilder,
    Descriptor, ImageConfigurationBuilder, ImageIndexBuilder, ImageManifestBuilder, MediaType, Os,
    RootFsBuilder, SCHEMA_VERSION, Sha256Digest,
};
use serde::Serialize;
use tar::Builder;

use crate::commit::Commit;
use crate::layer::{Layer, sha256};
use crate::record::Record;
use crate::tree::{append, header};
use crate::{REGISTRY, USER};

/// The name by which containerd knows an image after its import.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// What an image is, beside its files.
#[derive(Debug, Clone, Copy)]
pub struct Image<'a> {
    /// Its name in the registry, `svc-ledger`.
    pub name: &'a str,
    /// What it is made of.
    pub commit: &'a Commit,
    /// Lowest first.
    pub layers: &'a [Layer],
    /// The program that a container runs unless it is told another; an image of several has none.
    pub entrypoint: Option<&'a str>,
}

impl Image<'_> {
    /// Writes the image to `archive`. The same image is the same bytes.
    ///
    /// # Errors
    /// When a layer cannot be read, or the archive not be written.
    pub fn write(&self, archive: &Path) -> anyhow::Result<Record> {
        let labels = self.labels();
        let mut settings = ConfigBuilder::default()
            .user(format!("{USER}:{USER}"))
            .env([format!("LOCALPLUS_RELEASE={}", self.commit.release)])
            .labels(labels.clone());
        if let Some(entrypoint) = self.entrypoint {
            settings = settings.entrypoint([entrypoint.to_owned()]);
        }
        let files = RootFsBuilder::default()
            .typ("layers")
            .diff_ids(
                self.layers
                    .iter()
                    .map(|layer| layer.descriptor.digest().to_string())
                    .collect::<Vec<_>>(),
            )
            .build()?;
        let config = Blob::of(
            MediaType::ImageConfig,
            &ImageConfigurationBuilder::default()
                .created(self.commit.time.to_string())
                .architecture(Arch::default())
                .os(Os::Linux)
                .config(settings.build()?)
                .rootfs(files)
                .history(Vec::new())
                .build()?,
        )?;
        let manifest = Blob::of(
            MediaType::ImageManifest,
            &ImageManifestBuilder::default()
                .schema_version(SCHEMA_VERSION)
                .media_type(MediaType::ImageManifest)
                .config(config.descriptor.clone())
                .layers(
                    self.layers
                        .iter()
                        .map(|layer| layer.descriptor.clone())
                        .collect::<Vec<_>>(),
                )
                .annotations(labels)
                .build()?,
        )?;
        let digest = manifest.descriptor.digest().to_string();
        let reference = format!("{REGISTRY}/{}@{digest}", self.name);
        let mut named = manifest.descriptor.clone();
        named.set_annotations(Some(HashMap::from([(
            CONTAINERD_NAME.to_owned(),
            reference.clone(),
        )])));
        let index = sorted_json(
            &ImageIndexBuilder::default()
                .schema_version(SCHEMA_VERSION)
                .media_type(MediaType::ImageIndex)
                .manifests([named])
                .build()?,
        )?;
        self.pack(archive, &index, &[config, manifest])
            .with_context(|| format!("{} cannot be written", archive.display()))?;
        Ok(Record {
            name: self.name.to_owned(),
            reference,
            digest,
            archive: archive.to_owned(),
            release: self.commit.release.clone(),
            bytes: archive.metadata()?.len(),
        })
    }

    fn labels(&self) -> HashMap<String, String> {
        HashMap::from(
            [
                (ANNOTATION_TITLE, self.name.to_owned()),
                (ANNOTATION_VERSION, self.commit.release.clone()),
                (ANNOTATION_REVISION, self.commit.revision.clone()),
                (ANNOTATION_CREATED, self.commit.time.to_string()),
            ]
            .map(|(key, value)| (key.to_owned(), value)),
        )
    }

    fn pack(&self, archive: &Path, index: &[u8], blobs: &[Blob]) -> anyhow::Result<()> {
        let mut builder = Builder::new(BufWriter::new(File::create(archive)?));
        append(
            &mut builder,
            "oci-layout",
            0o644,
            br#"{"imageLayoutVersion":"1.0.0"}"#,
        )?;
        append(&mut builder, "index.json", 0o644, index)?;
        // Readers that unpack make no folder that is not named.
        for folder in ["blobs", "blobs/sha256"] {
            let mut header = header(tar::EntryType::Directory, 0o755, 0);
            builder.append_data(&mut header, folder, std::io::empty())?;
        }
        for blob in blobs {
            append(&mut builder, &place(&blob.descriptor), 0o644, &blob.bytes)?;
        }
        for layer in self.layers {
            let file = File::open(&layer.file)?;
            let mut header = header(tar::EntryType::Regular, 0o644, layer.descriptor.size());
            builder.append_data(&mut header, place(&layer.descriptor), file)?;
        }
        builder.into_inner()?.flush()?;
        Ok(())
    }
}

/// A document of the image, with what refers to it.
struct Blob {
    descriptor: Descriptor,
    bytes: Vec<u8>,
}

impl Blob {
    fn of(kind: MediaType, document: &impl Serialize) -> anyhow::Result<Self> {
        let bytes = sorted_json(document)?;
        let digest = sha256(&bytes).parse::<Sha256Digest>()?;
        Ok(Self {
            descriptor: Descriptor::new(kind, u64::try_from(bytes.len())?, digest),
            bytes,
        })
    }
}

/// Where a layout has it.
fn place(descriptor: &Descriptor) -> String {
    format!("blobs/sha256/{}", descriptor.digest().digest())
}

/// The types of oci-spec keep labels in hash maps, whose order is another each time.
fn sorted_json(document: &impl Serialize) -> anyhow::Result<Vec<u8>> {
    let mut value = serde_json::to_value(document)?;
    value.sort_all_objects();
    Ok(serde_json::to_vec(&value)?)
}
