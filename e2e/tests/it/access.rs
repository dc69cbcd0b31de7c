//! Every rpc of the fleet, over gRPC and REST: open to whom the contract says, to nobody else, and never with
//! another merchant's ids. The contract itself says which rpcs there are, so that a new one is walked too.

use std::{collections::BTreeSet, path::Path, time::Duration};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use lp_auth::{ACT_FOR_MERCHANTS, MERCHANT};
use lp_contracts::access::{Access, access_of};
use lp_stack::fleet::{FLEET, MERCHANT_SCOPES, PLATFORM_SCOPES, Service};
use lp_types::{Clock as _, IdSource as _, MerchantId, SystemClock, SystemIds};
use prost::Message as _;
use prost_reflect::{DynamicMessage, MethodDescriptor};
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::{
    fleet::{self, Own},
    sample::{self, Ids, Sample},
    shop,
};

/// One rpc, and where it is.
pub(crate) struct Rpc {
    method: MethodDescriptor,
    access: Access,
    pub(crate) service: Service,
}

impl Rpc {
    /// As `LedgerService/Earn`.
    fn name(&self) -> String {
        format!("{}/{}", self.method.parent_service().name(), self.method.name())
    }

    /// Its REST form, if it has one: verb and path.
    pub(crate) fn rest(&self) -> Option<(reqwest::Method, String)> {
        let pool = self.method.parent_pool();
        let extension = pool.get_extension_by_name("google.api.http").unwrap();
        let options = self.method.options();
        if !options.has_extension(&extension) {
            return None;
        }
        let rule = options.get_extension(&extension).into_owned();
        let rule = rule.as_message().unwrap();
        for (verb, method) in [("get", reqwest::Method::GET), ("post", reqwest::Method::POST)] {
            let path = rule.get_field_by_name(verb).unwrap().as_str().unwrap().to_owned();
            if !path.is_empty() {
                return Some((method, path));
            }
        }
        panic!("{}: {rule}", self.name());
    }
}

/// Every rpc of the fleet's services.
pub(crate) fn rpcs(services: &[Service]) -> Vec<Rpc> {
    let mut rpcs = Vec::new();
    for service in services {
        let package = format!("localplus.{}.v1", service.name);
        let own: Vec<_> = lp_contracts::descriptors()
            .services()
            .filter(|found| found.package_name() == package)
            .collect();
        assert!(!own.is_empty(), "{package} has no service");
        for method in own.iter().flat_map(|found| found.methods().collect::<Vec<_>>()) {
            let access = access_of(&method).unwrap_or_else(|| {
                panic!(
                    "{} has no access option, so it is open to nobody",
                    method.full_name()
                )
            });
            rpcs.push(Rpc {
                method,
                access,
                service: *service,
            });
        }
    }
    rpcs
}

/// Calls a fleet as anybody.
struct Anybody {
    own: Own,
    key: EncodingKey,
    grpc: reqwest::Client,
    rest: reqwest::Client,
}

/// What a call ended in, over either wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Unauthenticated,
    PermissionDenied,
    Other,
}

impl Anybody {
    fn of(own: Own) -> Self {
        let key = key(own.folder());
        let grpc = reqwest::Client::builder()
            .http2_prior_knowledge()
            .build()
            .unwrap();
        Self {
            own,
            key,
            grpc,
            rest: reqwest::Client::new(),
        }
    }

    /// A token of the fleet's own issuer, of any scopes.
    fn token<'a>(&self, merchant: Option<MerchantId>, scopes: impl IntoIterator<Item = &'a str>) -> String {
        let scopes: Vec<_> = scopes.into_iter().collect();
        let mut claims = json!({
            "iss": self.own.plan.issuer_url(),
            "aud": "localplus",
            "sub": "walker",
            "exp": SystemClock.now().as_second() + 600,
            "scope": scopes.join(" "),
        });
        if let Some(merchant) = merchant {
            claims["merchant_id"] = json!(merchant);
        }
        let mut header = Header::new(Algorithm::ES256);
        let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&self.key, Algorithm::ES256).unwrap();
        header.kid = Some(jwk.thumbprint(jsonwebtoken::jwk::ThumbprintHash::SHA256).unwrap());
        jsonwebtoken::encode(&header, &claims, &self.key).unwrap()
    }

    /// Over gRPC: the code, and the answer where it is OK.
    async fn grpc(&self, rpc: &Rpc, headers: &[(&str, String)], message: &DynamicMessage) -> (Code, Vec<u8>) {
        let url = rpc.service.grpc_url();
        let method = &rpc.method;
        let path = format!("{}/{}", method.parent_service().full_name(), method.name());
        let bytes = message.encode_to_vec();
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        let mut request = self
            .grpc
            .post(format!("{url}/{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("idempotency-key", "walk")
            .body([&[0], length.as_slice(), &bytes].concat());
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let answer = request.send().await.unwrap();
        // A refusal stands in the headers; what has none there is an answer.
        let code = Status::from_header_map(answer.headers()).map_or(Code::Ok, |status| status.code());
        let body = answer.bytes().await.unwrap();
        (code, body.get(5..).unwrap_or_default().to_vec())
    }

    /// Over REST, if it is there: the status, and the answer.
    async fn rest(
        &self,
        rpc: &Rpc,
        headers: &[(&str, String)],
        message: &DynamicMessage,
    ) -> Option<(u16, Value)> {
        let (verb, path) = rpc.rest()?;
        let url = format!("{}{}", rpc.service.http_url(), sample::path(&path, message));
        let mut request = self
            .rest
            .request(verb.clone(), url)
            .header("idempotency-key", "walk-rest");
        if verb == reqwest::Method::POST {
            request = request.json(&sample::body(&path, message));
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        Some((status, answer.json().await.unwrap_or_default()))
    }

    /// Over gRPC, and over REST if it is there.
    async fn ends(&self, rpc: &Rpc, headers: &[(&str, String)], message: &DynamicMessage) -> Vec<End> {
        let grpc = match self.grpc(rpc, headers, message).await.0 {
            Code::Unauthenticated => End::Unauthenticated,
            Code::PermissionDenied => End::PermissionDenied,
            _ => End::Other,
        };
        let rest = self
            .rest(rpc, headers, message)
            .await
            .map(|(status, _)| match status {
                401 => End::Unauthenticated,
                403 => End::PermissionDenied,
                _ => End::Other,
            });
        [grpc].into_iter().chain(rest).collect()
    }
}

/// The issuer's own key: so the test needs no client of every kind.
fn key(folder: &Path) -> EncodingKey {
    let file = lp_stack::fleet::Fleet::folder(folder).join("issuer/signing-key.pkcs8");
    EncodingKey::from_ec_der(&std::fs::read(file).unwrap())
}

fn bearer(token: &str) -> (&'static str, String) {
    ("authorization", format!("Bearer {token}"))
}

fn new_merchant() -> MerchantId {
    MerchantId::from_uuid(SystemIds.uuid())
}

/// Every scope that the contract names.
fn scopes() -> BTreeSet<String> {
    let methods = lp_contracts::descriptors()
        .services()
        .flat_map(|s| s.methods().collect::<Vec<_>>());
    methods
        .filter_map(|m| access_of(&m))
        .flat_map(|access| access.scopes)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rpc_is_open_to_whom_the_contract_says_and_to_nobody_else() {
    let anybody = Anybody::of(fleet::start(&[]));
    let (all, ours) = (scopes(), new_merchant());
    let all: Vec<_> = all.iter().map(String::as_str).collect();
    let with_acting = || all.iter().copied().chain([ACT_FOR_MERCHANTS]);
    let named = |merchant: MerchantId| (MERCHANT, merchant.to_string());
    let merchants = bearer(&anybody.token(Some(ours), all.iter().copied()));
    let merchants_platform = bearer(&anybody.token(Some(ours), with_acting()));
    let platforms = bearer(&anybody.token(None, with_acting()));
    let nobodys = bearer(&anybody.token(None, all.iter().copied()));
    let rpcs = rpcs(&anybody.own.plan.services);
    for rpc in &rpcs {
        let message = DynamicMessage::new(rpc.method.input());
        let mut expected = vec![
            (End::Unauthenticated, "without a token", vec![]),
            (End::Unauthenticated, "by headers alone", vec![named(ours)]),
            (End::Unauthenticated, "with nonsense", vec![bearer("nonsense")]),
            (
                End::PermissionDenied,
                "for another merchant",
                vec![merchants.clone(), named(new_merchant())],
            ),
            (
                End::PermissionDenied,
                "with a scope that no merchant's token is to have, for another merchant",
                vec![merchants_platform.clone(), named(new_merchant())],
            ),
            (
                End::PermissionDenied,
                "of no merchant",
                vec![nobodys.clone(), named(ours)],
            ),
            (
                End::PermissionDenied,
                "of the platform, for nobody",
                vec![platforms.clone()],
            ),
            (
                End::Other,
                "of the platform, for a merchant",
                vec![platforms.clone(), named(ours)],
            ),
        ];
        for needed in &rpc.access.scopes {
            let others = || all.iter().copied().filter(|scope| scope != needed);
            let merchants = bearer(&anybody.token(Some(ours), others()));
            let platforms = bearer(&anybody.token(None, others().chain([ACT_FOR_MERCHANTS])));
            expected.push((
                End::PermissionDenied,
                "of a merchant without a scope",
                vec![merchants],
            ));
            expected.push((
                End::PermissionDenied,
                "of the platform without a scope",
                vec![platforms, named(ours)],
            ));
        }
        let merchants_end = if rpc.access.operator {
            End::PermissionDenied
        } else {
            End::Other
        };
        expected.push((merchants_end, "of a merchant", vec![merchants.clone()]));
        expected.push((
            merchants_end,
            "of a merchant, named",
            vec![merchants_platform.clone(), named(ours)],
        ));
        for (end, who, headers) in expected {
            let ends = anybody.ends(rpc, &headers, &message).await;
            assert!(
                ends.iter().all(|found| *found == end),
                "{ends:?}: {} with a token {who}",
                rpc.name()
            );
        }
    }
    assert!(rpcs.len() >= 18, "{} rpcs", rpcs.len());
}

#[test]
fn the_fleets_clients_have_scopes_of_the_contract() {
    let mut known: BTreeSet<String> = MERCHANT_SCOPES.map(str::to_owned).into();
    for scope in PLATFORM_SCOPES {
        assert!(known.insert(scope.to_owned()), "{scope} is both");
    }
    assert_eq!(known, scopes());
    for rpc in rpcs(&FLEET).iter().filter(|rpc| rpc.access.operator) {
        let kept = |scope: &String| PLATFORM_SCOPES.contains(&scope.as_str());
        assert!(rpc.access.scopes.iter().all(kept), "{}", rpc.name());
    }
    for service in FLEET.iter() {
        assert!(
            service.scopes.iter().all(|scope| known.contains(*scope)),
            "{service:?}"
        );
    }
}

/// Sells and does something of everything, and gives the ids of it.
async fn trade(anybody: &Anybody, till: &e2e::Till) -> Ids {
    let mut ids = Ids::new();
    let wallet = till.open_wallet("PTS", "claire@example.com", "en").await.unwrap();
    till.earn(&wallet.account_id, 5, "PTS").await.unwrap();
    let later = SystemClock.now() + Duration::from_hours(1);
    let hold = json!({
        "accountId": wallet.account_id, "amount": {"minorUnits": "1", "assetCode": "PTS"}, "expiresAt": later.to_string(),
    });
    let hold = shop::write(&anybody.own, till, "SVC_LEDGER_HTTP_URL", "/v1/holds", hold).await;
    let hold = hold["hold"]["holdId"].as_str().unwrap();
    for (name, id) in [
        ("account_id", wallet.account_id.as_str()),
        ("debt_account_id", &wallet.account_id),
        ("destination_account_id", &wallet.account_id),
        ("hold_id", hold),
        ("releases_hold_id", hold),
    ] {
        ids.insert(name.to_owned(), id.to_owned());
    }

    let cards = "SVC_GIFTCARD_HTTP_URL";
    let product = json!({"name": "A card", "currencyCode": "EUR", "denominations": ["2500"]});
    let product = shop::write(&anybody.own, till, cards, "/v1/products", product).await;
    let issue = json!({"productId": product["product"]["productId"]});
    let issued = shop::write(&anybody.own, till, cards, "/v1/cards", issue).await;
    let euros = |minor_units: &str| json!({"minorUnits": minor_units, "assetCode": "EUR"});
    let activate = format!(
        "/v1/cards/{}:activate",
        issued["card"]["cardId"].as_str().unwrap()
    );
    shop::write(
        &anybody.own,
        till,
        cards,
        &activate,
        json!({"amount": euros("2500")}),
    )
    .await;
    for rpc in ["AuthorizeRedemption", "RedeemCard"] {
        let code = issued["code"].as_str().unwrap().to_owned();
        ids.insert(format!("localplus.giftcard.v1.{rpc}Request.code"), code);
    }
    let purchase = json!({
        "amount": euros("500"), "walletId": wallet.wallet_id,
        "tenders": [{"kind": "TENDER_KIND_EXTERNAL", "minorUnits": "500"}],
    });
    let purchase = shop::write(
        &anybody.own,
        till,
        "SVC_MERCHANT_HTTP_URL",
        "/v1/purchases",
        purchase,
    )
    .await;
    for answer in [&product, &issued, &purchase] {
        sample::collect(answer, &mut ids);
    }
    ids.insert("notification_id".to_owned(), notification(anybody, till).await);
    ids
}

/// The id of a notification, which an event brings.
async fn notification(anybody: &Anybody, till: &e2e::Till) -> String {
    let token = anybody.token(Some(till.merchant()), ["notification.notifications.read"]);
    let url = format!(
        "{}/v1/notifications",
        anybody.own.setting("SVC_NOTIFICATION_HTTP_URL")
    );
    for _ in 0..200 {
        let request = anybody.rest.get(&url).bearer_auth(&token);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        if let Some(id) = answer["notifications"][0]["notificationId"].as_str() {
            return id.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no notification within 20 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_rpc_takes_another_merchants_id() {
    let anybody = Anybody::of(fleet::start(&[]));
    let (ours, theirs) = (anybody.own.till(), anybody.own.till());
    // Both trade, so that nothing is refused for want of it.
    shop::onboard(&anybody.own, &ours, 50).await;
    shop::onboard(&anybody.own, &theirs, 50).await;
    let ids = trade(&anybody, &ours).await;
    let every = scopes();
    let every: Vec<_> = every
        .iter()
        .map(String::as_str)
        .chain([ACT_FOR_MERCHANTS])
        .collect();
    let as_merchant = |till: &e2e::Till| {
        let token = anybody.token(None, every.iter().copied());
        vec![bearer(&token), (MERCHANT, till.merchant().to_string())]
    };
    let mut walked = Vec::new();
    for rpc in rpcs(&anybody.own.plan.services) {
        let sample = Sample::of(&rpc.method, &ids);
        assert!(
            sample.unknown.is_empty(),
            "{} takes {:?}, of which this test makes none",
            rpc.name(),
            sample.unknown
        );
        if sample.known.is_empty() {
            continue;
        }
        if sample::is_read(&rpc.method) {
            // So that the refusal is not for another reason.
            let (code, _) = anybody.grpc(&rpc, &as_merchant(&ours), &sample.message).await;
            assert_eq!(code, Code::Ok, "{} with one's own {ids:?}", rpc.name());
        }
        let (code, answer) = anybody.grpc(&rpc, &as_merchant(&theirs), &sample.message).await;
        let answer = DynamicMessage::decode(rpc.method.output(), answer.as_slice()).unwrap();
        let is_list = rpc.method.name().starts_with("List") && sample::is_empty_list(&answer);
        assert!(
            code != Code::Ok || is_list || sample::is_refused_stream(&rpc.method, &answer),
            "{} with another's id: {answer}",
            rpc.name()
        );
        if let Some((status, answer)) = anybody.rest(&rpc, &as_merchant(&theirs), &sample.message).await {
            assert!(
                status != 200 || is_list,
                "{} with another's id: {answer}",
                rpc.name()
            );
        }
        walked.push(rpc.name());
    }
    assert!(walked.len() >= 20, "{walked:?}");
}
