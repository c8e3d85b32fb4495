//! A login provider that says what a test has it say. What real ones say is tested end to end.

use std::convert::Infallible;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use p256::ecdsa::SigningKey;
use p256::pkcs8::EncodePrivateKey as _;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Ends when dropped.
pub(super) struct Fake {
    pub(super) issuer: String,
    says: Arc<Mutex<Says>>,
    _serving: JoinSet<()>,
}

struct Says {
    issuer: String,
    /// What it publishes a key for, and what it signs with.
    published: u8,
    signs: u8,
    id_token: Value,
    user_info: Value,
    times_asked_for_keys: usize,
}

impl Fake {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let says = Says {
            issuer: issuer.clone(),
            published: 1,
            signs: 1,
            id_token: Value::Null,
            user_info: Value::Null,
            times_asked_for_keys: 0,
        };
        let says = Arc::new(Mutex::new(says));
        let (told, mut serving) = (Arc::clone(&says), JoinSet::new());
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let told = Arc::clone(&told);
                let answer = service_fn(move |request: Request<Incoming>| {
                    let body = told.lock().answer(request.uri().path()).to_string();
                    async move { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(body)))) }
                });
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), answer));
            }
        });
        Self { issuer, says, _serving: serving }
    }

    /// What the next ID token says, and what the user info adds.
    pub(super) fn say(&self, id_token: Value, user_info: Value) {
        let mut says = self.says.lock();
        (says.id_token, says.user_info) = (id_token, user_info);
    }

    /// Signs with another key, and publishes one.
    pub(super) fn use_keys(&self, signs: u8, published: u8) {
        let mut says = self.says.lock();
        (says.signs, says.published) = (signs, published);
    }

    pub(super) fn times_asked_for_keys(&self) -> usize {
        self.says.lock().times_asked_for_keys
    }
}

impl Says {
    fn answer(&mut self, path: &str) -> Value {
        let issuer = &self.issuer;
        match path {
            "/.well-known/openid-configuration" => json!({
                "issuer": issuer,
                "authorization_endpoint": format!("{issuer}/authorize?tenant=1"),
                "token_endpoint": format!("{issuer}/token"),
                "jwks_uri": format!("{issuer}/keys"),
                "userinfo_endpoint": format!("{issuer}/me"),
            }),
            "/keys" => {
                self.times_asked_for_keys += 1;
                json!({"keys": [public(self.published)]})
            }
            "/token" => {
                let header = Header { kid: Some(self.signs.to_string()), ..Header::new(Algorithm::ES256) };
                let der = key(self.signs).to_pkcs8_der().unwrap();
                let signer = EncodingKey::from_ec_der(der.as_bytes());
                let token = encode(&header, &self.id_token, &signer).unwrap();
                json!({"id_token": token, "access_token": "planted-access-token", "token_type": "Bearer"})
            }
            "/me" => self.user_info.clone(),
            _ => json!({"error": "not_found"}),
        }
    }
}

fn key(number: u8) -> SigningKey {
    SigningKey::from_slice(&[number; 32]).unwrap()
}

fn public(number: u8) -> Value {
    let point = key(number).verifying_key().to_encoded_point(false);
    let text = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
    let (x, y) = (text(point.x().unwrap()), text(point.y().unwrap()));
    json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": number.to_string(), "x": x, "y": y})
}
