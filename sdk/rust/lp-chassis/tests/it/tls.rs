//! gRPC over TLS, where there is a certificate.

use std::{fs, time::Duration};

use lp_chassis::{App, Chassis, serve::start};
use lp_config::Common;
use lp_contracts::ledger::v1::ledger_service_client::LedgerServiceClient;
use lp_telemetry::Metrics;
use lp_types::time::Ambient;
use tempfile::TempDir;
use tokio::{io::AsyncReadExt as _, net::TcpStream, time::timeout};
use tonic::{
    service::Routes,
    transport::{Certificate, Channel, ClientTlsConfig},
};

use crate::support::{Instance, settings};

/// A folder with a certificate for `svc-stub`, and the certificate.
fn certificate() -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
    let made = rcgen::generate_simple_self_signed(["svc-stub".to_owned()]).unwrap();
    fs::write(folder.path().join("cert"), made.cert.pem()).unwrap();
    fs::write(folder.path().join("key"), made.signing_key.serialize_pem()).unwrap();
    (folder, made.cert.pem())
}

#[tokio::test]
async fn who_knows_the_certificate_is_served_and_nobody_in_the_clear() {
    let (folder, pem) = certificate();
    let instance = Instance::start_with(
        |common| {
            common.serve.tls_cert = Some(folder.path().join("cert"));
            common.serve.tls_key = Some(folder.path().join("key"));
        },
        |app| app,
    )
    .await;
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(pem))
        .domain_name("svc-stub");
    let url = format!("https://{}", instance.base.running.grpc);
    let channel = Channel::from_shared(url).unwrap().tls_config(tls).unwrap();
    let mut client = LedgerServiceClient::new(channel.connect().await.unwrap());
    client.get_balance(instance.request("ok")).await.unwrap();

    instance.call("ok").await.unwrap_err();

    // Who says nothing is not waited for.
    let mut silent = TcpStream::connect(instance.base.running.grpc).await.unwrap();
    let ended = timeout(Duration::from_secs(15), silent.read_u8()).await;
    assert!(ended.expect("it is ended").is_err());
}

/// Why it does not start.
async fn why_not(common: &Common) -> String {
    let chassis = Chassis::open("svc-stub", common, Metrics::new(), Ambient::system()).unwrap();
    let app = App::new(&chassis, &[], Routes::default());
    format!(
        "{:#}",
        start("svc-stub", common, &chassis, app).await.unwrap_err()
    )
}

#[tokio::test]
async fn a_certificate_that_is_none_is_named_at_the_start() {
    let (folder, _) = certificate();
    let mut common = settings().await;
    common.serve.tls_cert = Some(folder.path().join("cert"));
    common.serve.tls_key = Some(folder.path().join("missing"));
    let told = why_not(&common).await;
    assert!(
        told.starts_with("TLS_KEY: ") && told.contains("cannot be read"),
        "{told}"
    );

    common.serve.tls_key = common.serve.tls_cert.clone();
    let told = why_not(&common).await;
    assert!(told.starts_with("TLS_CERT, TLS_KEY: "), "{told}");
}
