//! What a verified caller may do, and for whom.

use std::{collections::BTreeSet, sync::Arc};

use http::{HeaderMap, header::AUTHORIZATION};
use lp_contracts::{access::Access, common::v1::ErrorReason};
use lp_error::{Code, Error, Result};
use lp_types::{Actor, CallerContext, MerchantId, RequestId};

use crate::verify::unauthenticated;

/// The scope of our own services: their tokens have no merchant, and the request names the one whom it is
/// for.
pub const ACT_FOR_MERCHANTS: &str = "platform.act-for-merchants";
/// The header that names the merchant.
pub const MERCHANT: &str = "localplus-merchant";
/// The header that names who acts.
pub const ACTOR: &str = "localplus-actor";

/// Who is behind a token. Only [`crate::Verifier::verify`] makes one; clones are cheap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity(Arc<Inner>);

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    actor: Actor,
    merchant: Option<MerchantId>,
    scopes: BTreeSet<String>,
}

impl Identity {
    pub(crate) fn new(actor: Actor, merchant: Option<MerchantId>, scope: &str) -> Self {
        let scopes = scope.split_ascii_whitespace().map(str::to_owned).collect();
        Self(Arc::new(Inner {
            actor,
            merchant,
            scopes,
        }))
    }

    /// Whom the token names (`sub`).
    pub fn actor(&self) -> &Actor {
        &self.0.actor
    }

    /// The merchant whom the token is bound to.
    pub fn merchant(&self) -> Option<MerchantId> {
        self.0.merchant
    }

    /// True when the token has `scope`, to the letter.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.0.scopes.contains(scope)
    }
}

/// The token of a request: the one `authorization` header, of scheme `Bearer`.
///
/// # Errors
/// UNAUTHENTICATED when there is none, or more than one.
pub fn bearer_of(headers: &HeaderMap) -> Result<&str> {
    let given = one(headers, AUTHORIZATION.as_str()).ok().flatten();
    given
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim_start_matches(' '))
        .ok_or_else(|| unauthenticated("no caller: credentials are missing or malformed"))
}

/// The caller, if `identity` may make a call that needs `access`. The merchant is the token's; only a token
/// without one and with [`ACT_FOR_MERCHANTS`] names merchant and actor in the headers [`MERCHANT`] and
/// [`ACTOR`]. A header that says other than the token is refused, never ignored. Operators' access is for
/// tokens without a merchant alone, whatever scopes a merchant's token has. Access that names no scope and is
/// not public is open to nobody.
///
/// # Errors
/// PERMISSION_DENIED.
pub fn authorize(
    identity: &Identity,
    access: &Access,
    headers: &HeaderMap,
    request: RequestId,
) -> Result<CallerContext> {
    let missing = access.scopes.iter().filter(|scope| !identity.has_scope(scope));
    let missing: Vec<_> = missing.map(String::as_str).collect();
    if !missing.is_empty() {
        return Err(denied("the token lacks a scope").with_metadata("missing_scope", missing.join(" ")));
    }
    if access.scopes.is_empty() && !access.public {
        return Err(denied("this call is open to nobody"));
    }
    if access.operator && identity.merchant().is_some() {
        return Err(denied("this call is the platform's, and the token a merchant's"));
    }
    let merchant: Option<MerchantId> = named(headers, MERCHANT)?;
    let actor: Option<Actor> = named(headers, ACTOR)?;
    let (merchant, actor) = match identity.merchant() {
        Some(own) if merchant.is_some_and(|named| named != own) => {
            return Err(denied("the token is another merchant's"));
        }
        Some(_) if actor.as_ref().is_some_and(|named| named != identity.actor()) => {
            return Err(denied("the token is another actor's"));
        }
        Some(own) => (own, None),
        None if !identity.has_scope(ACT_FOR_MERCHANTS) => {
            return Err(denied("the token names no merchant"));
        }
        None => {
            let merchant = merchant.ok_or_else(|| denied("localplus-merchant is missing"))?;
            (merchant, actor)
        }
    };
    Ok(CallerContext {
        merchant,
        actor: actor.unwrap_or_else(|| identity.actor().clone()),
        request,
    })
}

/// What the header `name` says, if it is there.
fn named<T: TryFrom<String>>(headers: &HeaderMap, name: &str) -> Result<Option<T>> {
    let malformed = || denied(format!("{name} is malformed"));
    let value = one(headers, name).map_err(|()| malformed())?;
    let parse = |value: &str| T::try_from(value.to_owned()).map_err(|_| malformed());
    value.map(parse).transpose()
}

/// The header's only value. Two readers of a request may take two different ones of several.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> std::result::Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(drop),
        (Some(_), Some(_)) => Err(()),
    }
}

fn denied(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    let reason = ErrorReason::PermissionDenied.reason();
    Error::new(Code::PermissionDenied, lp_error::DOMAIN, reason, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "mer_0199f0c1d2e37a4b8c5d6e7f80912a3b";
    const THEIRS: &str = "mer_0199f0c1d2e37a4b8c5d6e7f80912a3c";
    const READ: &str = "ledger.accounts.read";
    const WRITE: &str = "ledger.accounts.write";

    fn access(scopes: &[&str], public: bool) -> Access {
        Access {
            scopes: scopes.iter().map(|s| (*s).to_owned()).collect(),
            public,
            idempotent_write: false,
            operator: false,
        }
    }

    fn call(
        merchant: Option<&str>,
        scope: &str,
        access: &Access,
        headers: &[(&'static str, &str)],
    ) -> Result<(String, String), Error> {
        let actor = Actor::try_from("svc-test".to_owned()).unwrap();
        let identity = Identity::new(actor, merchant.map(|m| m.parse().unwrap()), scope);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let request: RequestId = "req_0199f0c1d2e37a4b8c5d6e7f80912a3b".parse().unwrap();
        let caller = authorize(&identity, access, &map, request)?;
        assert_eq!(caller.request, request);
        Ok((caller.merchant.to_string(), caller.actor.to_string()))
    }

    fn answer(merchant: &str, actor: &str) -> (String, String) {
        (merchant.to_owned(), actor.to_owned())
    }

    #[test]
    fn every_scope_is_needed_to_the_letter() {
        let needed = access(&[READ, WRITE], false);
        let both = format!("{WRITE}  {READ}");
        assert_eq!(
            call(Some(OURS), &both, &needed, &[]).unwrap(),
            answer(OURS, "svc-test")
        );
        for (scope, missing) in [
            (READ, WRITE),
            (
                "ledger.accounts.* * ledger",
                "ledger.accounts.read ledger.accounts.write",
            ),
            (ACT_FOR_MERCHANTS, "ledger.accounts.read ledger.accounts.write"),
        ] {
            let error = call(Some(OURS), scope, &needed, &[]).unwrap_err();
            assert_eq!(
                (error.code(), error.reason()),
                (Code::PermissionDenied, "PERMISSION_DENIED")
            );
            let details = tonic_types::StatusExt::get_error_details(&tonic::Status::from(error));
            let told = details
                .error_info()
                .unwrap()
                .metadata
                .get("missing_scope")
                .cloned();
            assert_eq!(told.as_deref(), Some(missing), "{scope}");
        }
    }

    #[test]
    fn access_without_scopes_is_for_everybody_or_for_nobody() {
        assert!(call(Some(OURS), READ, &access(&[], true), &[]).is_ok());
        assert!(call(Some(OURS), READ, &access(&[], false), &[]).is_err());
    }

    #[test]
    fn operators_access_is_for_tokens_without_a_merchant() {
        let operators = Access {
            operator: true,
            ..access(&[READ], false)
        };
        let platform = format!("{READ} {ACT_FOR_MERCHANTS}");
        let named = (MERCHANT, OURS);
        type Case<'a> = (Option<&'a str>, &'a str, &'a [(&'static str, &'a str)], bool);
        let cases: &[Case] = &[
            (None, &platform, &[named], true),
            (None, &platform, &[named, (ACTOR, "mara")], true),
            // Whom it is for is always named, and every scope is needed.
            (None, &platform, &[], false),
            (None, READ, &[named], false),
            (None, ACT_FOR_MERCHANTS, &[named], false),
            // A merchant's token does not get in by its scopes, also not for its own merchant.
            (Some(OURS), READ, &[], false),
            (Some(OURS), &platform, &[], false),
            (Some(OURS), &platform, &[named], false),
            (Some(THEIRS), &platform, &[named], false),
        ];
        for (merchant, scope, headers, allowed) in cases {
            let got = call(*merchant, scope, &operators, headers);
            let case = format!("{merchant:?} {scope} {headers:?}");
            if *allowed {
                assert_eq!(got.unwrap().0, OURS, "{case}");
            } else {
                assert_eq!(got.unwrap_err().code(), Code::PermissionDenied, "{case}");
            }
        }
    }

    #[test]
    fn merchant_and_actor_come_from_the_token() {
        let service = format!("{READ} {ACT_FOR_MERCHANTS}");
        let (named, other) = ((MERCHANT, OURS), (MERCHANT, THEIRS));
        let till = (ACTOR, "till-7");
        type Case<'a> = (
            Option<&'a str>,
            &'a str,
            &'a [(&'static str, &'a str)],
            Option<(&'a str, &'a str)>,
        );
        // The token's merchant and scopes, the headers; then for whom and as whom, or none for a refusal.
        let cases: &[Case] = &[
            // A merchant's token: the headers may repeat it and nothing else.
            (Some(OURS), READ, &[], Some((OURS, "svc-test"))),
            (Some(OURS), READ, &[named], Some((OURS, "svc-test"))),
            (Some(OURS), READ, &[(ACTOR, "svc-test")], Some((OURS, "svc-test"))),
            (Some(OURS), READ, &[other], None),
            (Some(OURS), READ, &[named, other], None),
            (Some(OURS), READ, &[(MERCHANT, "")], None),
            (Some(OURS), READ, &[till], None),
            // The scope adds nothing to a merchant's token.
            (Some(OURS), &service, &[other], None),
            (Some(OURS), &service, &[till], None),
            // Neither a merchant nor the scope.
            (None, READ, &[], None),
            (None, READ, &[named, till], None),
            // A service of ours.
            (None, &service, &[named], Some((OURS, "svc-test"))),
            (None, &service, &[other, till], Some((THEIRS, "till-7"))),
            (None, &service, &[], None),
            (None, &service, &[till], None),
            (None, &service, &[named, named], None),
            (None, &service, &[(MERCHANT, "acme")], None),
            (None, &service, &[named, (ACTOR, "claire@example.com")], None),
            (None, &service, &[named, (ACTOR, "")], None),
            (None, &service, &[named, till, till], None),
        ];
        for (merchant, scope, headers, expected) in cases {
            let got = call(*merchant, scope, &access(&[READ], false), headers);
            let case = format!("{merchant:?} {scope} {headers:?}");
            match expected {
                Some((merchant, actor)) => assert_eq!(got.unwrap(), answer(merchant, actor), "{case}"),
                None => assert_eq!(got.unwrap_err().code(), Code::PermissionDenied, "{case}"),
            }
        }
    }
}
