//! The library that is loaded beneath PostgreSQL and svc-ledger (`chaos/shim/shim.c`), and the files by which it is told
//! what to do.

use std::{
    fs::{File, Permissions},
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, bail};

/// Of this program, so that a change of it is compiled anew.
const SOURCE: &str = include_str!("../../../shim/shim.c");

/// The library, compiled, in a folder that PostgreSQL's own user can read.
#[derive(Debug)]
pub(crate) struct Shim {
    folder: PathBuf,
}

/// One process's file.
#[derive(Debug)]
pub(crate) struct Control {
    file: File,
    path: PathBuf,
}

impl Shim {
    /// Compiles it.
    ///
    /// # Errors
    /// When there is no C compiler, or the folder cannot be written.
    pub(crate) fn compile() -> anyhow::Result<Self> {
        // The target folder may lie in a home that PostgreSQL's user cannot enter.
        let folder = std::env::temp_dir().join(format!("localplus-chaos-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let shim = Self { folder };
        std::fs::set_permissions(&shim.folder, Permissions::from_mode(0o755))?;
        let source = shim.folder.join("shim.c");
        std::fs::write(&source, SOURCE)?;
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(shim.library())
            .arg(&source)
            .arg("-ldl");
        let output = cc
            .output()
            .context("`cc` could not be started; install a C compiler")?;
        if !output.status.success() {
            bail!(
                "the shim does not compile: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        std::fs::set_permissions(shim.library(), Permissions::from_mode(0o755))?;
        Ok(shim)
    }

    fn library(&self) -> PathBuf {
        self.folder.join("shim.so")
    }

    /// A file that nothing is wanted in yet.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn control(&self, name: &str) -> anyhow::Result<Control> {
        let path = self.folder.join(name);
        let file = File::options()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(&path)?;
        file.set_permissions(Permissions::from_mode(0o644))?;
        let control = Control { file, path };
        control.write(0, 0)?;
        control.write(8, 0)?;
        Ok(control)
    }

    /// What a process gets that is to obey that file.
    pub(crate) fn env(&self, control: &Control) -> Vec<(String, String)> {
        let text = |path: &Path| path.display().to_string();
        vec![
            ("LD_PRELOAD".to_owned(), text(&self.library())),
            ("CHAOS_SHIM".to_owned(), text(&control.path)),
        ]
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        // Whoever has it mapped keeps it; a folder that stays costs nothing.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Control {
    /// Sets the wall clock off by so many milliseconds.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn shift_clock(&self, millis: i64) -> anyhow::Result<()> {
        self.write(0, millis.saturating_mul(1_000_000))
    }

    /// Makes each flush to the disk take longer.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn slow_down(&self, by: Duration) -> anyhow::Result<()> {
        self.write(8, i64::try_from(by.as_micros())?)
    }

    fn write(&self, at: u64, value: i64) -> anyhow::Result<()> {
        Ok(self.file.write_all_at(&value.to_ne_bytes(), at)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `date` says under the shim, less what it says without: whole seconds.
    fn seconds_off(env: &[(String, String)]) -> i64 {
        let now = |env: &[(String, String)]| {
            let output = Command::new("date")
                .arg("+%s")
                .envs(env.to_vec())
                .output()
                .unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            text.trim().parse::<i64>().unwrap()
        };
        now(env) - now(&[])
    }

    #[test]
    fn a_program_sees_the_clock_that_it_is_told() {
        let shim = Shim::compile().unwrap();
        let control = shim.control("one").unwrap();
        let env = shim.env(&control);
        assert!(seconds_off(&env).abs() <= 1);
        control.shift_clock(-3_600_000).unwrap();
        assert!((seconds_off(&env) + 3_600).abs() <= 1);
    }

    #[test]
    fn a_flush_takes_as_long_as_it_is_told() {
        let shim = Shim::compile().unwrap();
        let control = shim.control("two").unwrap();
        let target = shim.folder.join("flushed");
        control.slow_down(Duration::from_millis(300)).unwrap();
        let begun = std::time::Instant::now();
        let mut dd = Command::new("dd");
        dd.args(["if=/dev/zero", "bs=1", "count=1", "conv=fsync", "status=none"]);
        let status = dd
            .arg(format!("of={}", target.display()))
            .envs(shim.env(&control))
            .status();
        assert!(status.unwrap().success());
        assert!(begun.elapsed() >= Duration::from_millis(300));
    }
}
