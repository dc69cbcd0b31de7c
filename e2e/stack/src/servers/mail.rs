//! The SMTP catcher (maildev): takes every e-mail, shows it on a page and over REST, sends none on.

use std::path::PathBuf;
use std::time::Duration;

use super::{Launch, Setup};
use crate::process::Spec;
use crate::{http, ports, tools};

pub(super) fn prepare(setup: &Setup<'_>) -> anyhow::Result<(Launch, (String, String))> {
    let script = tools::maildev(setup.cache, &|text| setup.progress.detail("SMTP catcher", text))?;
    let (smtp, web) = setup.ports;
    let data = setup.folder.join("data");
    std::fs::create_dir_all(&data)?;
    let (smtp_port, web_port) = (smtp.to_string(), web.to_string());
    let spec = Spec::new("mail", PathBuf::from("node"), &setup.folder)
        .args([script.into_os_string()])
        .args(["--ip", "127.0.0.1", "--smtp", &smtp_port, "--web", &web_port])
        .args(["--mail-directory".into(), data.into_os_string()]);
    let (smtp, web) = (ports::loopback(smtp), ports::loopback(web));
    let ready = Box::new(move |_| http::get_status(web, "/healthz") == Some(200) && http::accepts(smtp));
    Ok((
        Launch {
            spec,
            ready,
            limit: Duration::from_mins(1),
        },
        (format!("smtp://{smtp}"), format!("http://{web}")),
    ))
}
