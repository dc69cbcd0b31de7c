//! What the contract says about the services and rpcs that the description names.

use lp_contracts::access::access_of;
use prost_reflect::{MethodDescriptor, ServiceDescriptor};

use crate::Service;

/// The gRPC services of a service: those of its package, `localplus.ledger.v1` for the ledger.
pub fn grpc_services(service: &str) -> Vec<ServiceDescriptor> {
    let package = format!("localplus.{service}.v1");
    lp_contracts::descriptors()
        .services()
        .filter(|descriptor| descriptor.package_name() == package)
        .collect()
}

/// The rpc of that name at that service.
pub fn rpc(service: &str, name: &str) -> Option<MethodDescriptor> {
    grpc_services(service)
        .iter()
        .flat_map(|descriptor| descriptor.methods().collect::<Vec<_>>())
        .find(|method| method.name() == name)
}

/// The scopes that a service needs for its declared calls, sorted, each once: those of the rpcs' access options.
pub fn scopes(service: &Service) -> Vec<String> {
    let calls = service.calls.iter();
    let mut scopes: Vec<String> = calls
        .flat_map(|(callee, rpcs)| rpcs.iter().filter_map(move |name| rpc(callee, name)))
        .filter_map(|method| access_of(&method))
        .flat_map(|access| access.scopes)
        .collect();
    scopes.sort_unstable();
    scopes.dedup();
    scopes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_those_of_the_calls_and_no_more() {
        let fleet = crate::fleet();
        let scopes = |name| scopes(fleet.service(name).unwrap());
        assert_eq!(scopes("ledger"), [""; 0]);
        assert_eq!(scopes("notification"), ["wallet.contacts.read"]);
        assert_eq!(
            scopes("giftcard"),
            [
                "ledger.accounts.read",
                "ledger.accounts.write",
                "ledger.transactions.write",
                "merchant.merchant.read"
            ]
        );
    }
}
