//! svc-wallet, played: it knows contacts, and remembers who asked.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use lp_contracts::wallet::v1::{
    self,
    wallet_service_server::{WalletService, WalletServiceServer},
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, codegen::http::HeaderMap, transport::Server};

use super::Customer;

type Answer<T> = Result<Response<T>, Status>;

#[derive(Clone, Default)]
pub struct Wallet {
    /// By merchant and account.
    contacts: Arc<Mutex<HashMap<(String, String), v1::Contact>>>,
    asked: Arc<Mutex<Vec<HeaderMap>>>,
}

impl Wallet {
    /// Serves until the test ends.
    pub async fn start(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::builder().add_service(WalletServiceServer::new(self.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        address
    }

    pub fn knows(&self, customer: &Customer, language: &str, messages_allowed: bool) {
        let contact = v1::Contact {
            email: customer.email.clone(),
            language: language.to_owned(),
            messages_allowed,
        };
        let key = (customer.merchant.to_string(), customer.account.to_string());
        self.contacts.lock().unwrap().insert(key, contact);
    }

    pub fn forgets(&self, customer: &Customer) {
        let key = (customer.merchant.to_string(), customer.account.to_string());
        self.contacts.lock().unwrap().remove(&key);
    }

    /// The headers of each call so far.
    pub fn asked(&self) -> Vec<HeaderMap> {
        self.asked.lock().unwrap().clone()
    }
}

#[tonic::async_trait]
impl WalletService for Wallet {
    async fn get_contact(&self, request: Request<v1::GetContactRequest>) -> Answer<v1::GetContactResponse> {
        self.asked
            .lock()
            .unwrap()
            .push(request.metadata().clone().into_headers());
        let merchant = request
            .metadata()
            .get("localplus-merchant")
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let key = (merchant, request.into_inner().account_id);
        let contact = self.contacts.lock().unwrap().get(&key).cloned();
        let contact = contact.ok_or_else(|| Status::not_found("no such account"))?;
        Ok(Response::new(v1::GetContactResponse {
            customer_id: String::new(),
            contact: Some(contact),
        }))
    }

    async fn create_wallet(&self, _: Request<v1::CreateWalletRequest>) -> Answer<v1::CreateWalletResponse> {
        Err(Status::unimplemented("not played"))
    }

    async fn get_wallet(&self, _: Request<v1::GetWalletRequest>) -> Answer<v1::GetWalletResponse> {
        Err(Status::unimplemented("not played"))
    }

    async fn list_wallets(&self, _: Request<v1::ListWalletsRequest>) -> Answer<v1::ListWalletsResponse> {
        Err(Status::unimplemented("not played"))
    }

    async fn get_balance(&self, _: Request<v1::GetBalanceRequest>) -> Answer<v1::GetBalanceResponse> {
        Err(Status::unimplemented("not played"))
    }
}
