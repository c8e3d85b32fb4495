//! A whole Headgate: every service, in as many processes as the topology has.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::authority::{Authority, files};
use crate::engines::Engines;
use crate::http::Client;
use crate::node::{Invocation, config_file, data_dir};
pub use crate::node::{Node, run_to_end, run_to_end_with};
use crate::operator::{Authorized, authorized, bearing};
use crate::ports::free_address;
use crate::setup::{KEY, Setup};
use crate::topology::Topology;

/// What the processes of one deployment have in common.
const OPERATOR_TOKEN: &str = "the operator token of the tests";
/// What service tokens are signed with, where there are any.
pub const TOKEN_KEY: &str = "5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed";
const MASTER_KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A running gate. Killed when dropped, and its folder removed.
pub struct Headgate {
    topology: Topology,
    nodes: Vec<Node>,
    /// Further processes, each with the position of the group whose services it runs.
    replicas: Vec<(usize, Node)>,
    engines: Option<Engines>,
    /// Where a process will listen that others call which are started before it, with its group's position.
    promised: Option<(usize, SocketAddr)>,
    proof: Proof,
    // After what runs in it.
    folder: TempDir,
}

/// By what the processes of one deployment know each other.
pub enum Proof {
    /// Service tokens, in clear text.
    Tokens,
    /// Certificates.
    Certificates(Authority),
    /// Both.
    Both(Authority),
}

impl Proof {
    /// Who signs certificates, if there are any.
    fn authority(&self) -> Option<&Authority> {
        match self {
            Self::Tokens => None,
            Self::Certificates(authority) | Self::Both(authority) => Some(authority),
        }
    }

    /// The section `identity` of a process with this folder.
    fn section(&self, folder: &Path) -> Value {
        match self {
            Self::Tokens => json!({"token_key": TOKEN_KEY}),
            Self::Certificates(_) => json!({"tls": files(folder)}),
            Self::Both(_) => json!({"token_key": TOKEN_KEY, "tls": files(folder)}),
        }
    }
}

/// Where a gate listens.
#[derive(Clone, Copy, Debug)]
pub struct Listeners {
    /// REST.
    pub edge: SocketAddr,
    /// Consumers' gRPC.
    pub grpc: SocketAddr,
    /// `/livez`, `/readyz`, `/metrics` of the process that has the edge.
    pub ops: SocketAddr,
}

impl Headgate {
    /// Starts one on the topology that this run is for, and waits until it is ready.
    ///
    /// # Panics
    /// When it isn't built, or ends or stays unready.
    pub async fn start(setup: &Setup) -> Self {
        Self::start_on(Topology::chosen(), setup).await
    }

    /// The same on a given topology.
    ///
    /// # Panics
    /// When it isn't built, or ends or stays unready.
    pub async fn start_on(topology: Topology, setup: &Setup) -> Self {
        Self::start_knowing(Proof::Tokens, topology, setup).await
    }

    /// The same, whose processes know each other by `proof`.
    ///
    /// # Panics
    /// When it isn't built, or ends or stays unready.
    pub async fn start_knowing(proof: Proof, topology: Topology, setup: &Setup) -> Self {
        let gate = Self::launch_on(topology, setup, proof).await;
        gate.ready().await;
        gate
    }

    /// Starts one as one process, which may have to wait for something before it is ready.
    ///
    /// # Panics
    /// When it isn't built, or ends.
    pub async fn launch(setup: &Setup) -> Self {
        Self::launch_on(Topology::AllInOne, setup, Proof::Tokens).await
    }

    /// Starts one whose catalog was never used but finds this backup in its data folder, and waits until it is ready.
    ///
    /// # Panics
    /// When the backup is not there, or a process ends or stays unready.
    pub async fn start_with_backup(setup: &Setup, backup: &Path) -> Self {
        let prepare = |gate: &Self| {
            let folder = gate.data_dir_of("catalog").join("backup");
            fs::create_dir_all(&folder).unwrap();
            fs::copy(backup, folder.join("catalog.json")).unwrap();
        };
        let gate = Self::launch_prepared(Topology::chosen(), setup, Proof::Tokens, prepare).await;
        gate.ready().await;
        gate
    }

    async fn launch_on(topology: Topology, setup: &Setup, proof: Proof) -> Self {
        Self::launch_prepared(topology, setup, proof, |_| {}).await
    }

    async fn launch_prepared(
        topology: Topology,
        setup: &Setup,
        proof: Proof,
        prepare: impl FnOnce(&Self),
    ) -> Self {
        let engines = Engines::of(topology).await;
        let (nodes, replicas) = (Vec::new(), Vec::new());
        let promised = topology.called_early().map(|position| (position, free_address()));
        let folder = new_folder();
        let mut gate = Self { topology, nodes, replicas, engines, promised, proof, folder };
        prepare(&gate);
        for services in topology.groups() {
            let folder = gate.folder_of(services);
            fs::create_dir_all(&folder).unwrap();
            gate.write_certificates(&folder, services);
            gate.write_config(setup, services);
            let node = Node::launch(folder.clone(), gate.invocation(&folder, services)).await;
            gate.nodes.push(node);
            if topology != Topology::AllInOne {
                // Now that its port is known, it is kept: peers look for it there after a restart.
                gate.write_config(setup, services);
            }
        }
        gate
    }

    /// Starts one as a newcomer does, without a configuration: only the environment says where it listens and where
    /// its data is.
    ///
    /// # Panics
    /// When it isn't built, or ends or stays unready.
    pub async fn start_without_config() -> Self {
        Self::start_without_config_but(Vec::new()).await
    }

    /// The same with more in its environment.
    ///
    /// # Panics
    /// When it isn't built, or ends or stays unready.
    pub async fn start_without_config_but(more: Vec<(&'static str, String)>) -> Self {
        let folder = new_folder();
        let anywhere = || "127.0.0.1:0".to_owned();
        let mut environment = vec![
            ("HEADGATE__EDGE__LISTEN", anywhere()),
            ("HEADGATE__GRPC__LISTEN", anywhere()),
            ("HEADGATE__OPS__LISTEN", anywhere()),
            ("HEADGATE__DATA_DIR", data_dir(folder.path()).display().to_string()),
        ];
        environment.extend(more);
        let invocation = Invocation { arguments: vec!["serve".into()], environment };
        let node = Node::launch(folder.path().to_owned(), invocation).await;
        node.ready().await;
        let (topology, proof) = (Topology::AllInOne, Proof::Tokens);
        Self {
            topology,
            nodes: vec![node],
            replicas: Vec::new(),
            engines: None,
            promised: None,
            proof,
            folder,
        }
    }

    /// Starts another replica of the process that runs `service`, waits until it is ready, and tells its number. Those
    /// that are started later know it; those that run already do not.
    ///
    /// # Panics
    /// When it ends or stays unready.
    pub async fn add(&mut self, setup: &Setup, service: &str) -> usize {
        let position = self.position(service);
        let services = self.topology.groups()[position];
        let number = self.replicas.len();
        let folder = self.folder.path().join(format!("{}-{number}", services.join("-")));
        fs::create_dir_all(&folder).unwrap();
        self.write_certificates(&folder, services);
        fs::write(config_file(&folder), self.configured(setup, &folder).render(&data_dir(&folder))).unwrap();
        let node = Node::launch(folder.clone(), self.invocation(&folder, services)).await;
        node.ready().await;
        self.replicas.push((position, node));
        number
    }

    /// A replica that was added.
    ///
    /// # Panics
    /// When there is none of that number.
    pub fn replica(&mut self, number: usize) -> &mut Node {
        &mut self.replicas[number].1
    }

    /// REST clients without a key, of every process that has an edge.
    #[must_use]
    pub fn edges(&self) -> Vec<Client> {
        let nodes = self.nodes.iter().chain(self.replicas.iter().map(|(_, node)| node));
        nodes.filter_map(|node| Some(Client::new(node.listeners().edge?))).collect()
    }

    fn invocation(&self, folder: &Path, services: &[&str]) -> Invocation {
        let config = config_file(folder).to_str().expect("a UTF-8 path").to_owned();
        let mut arguments = vec!["serve".to_owned(), "--config".to_owned(), config];
        if self.topology != Topology::AllInOne {
            arguments.extend(["--only".to_owned(), services.join(",")]);
        }
        Invocation { arguments, ..Invocation::default() }
    }

    fn folder_of(&self, services: &[&str]) -> PathBuf {
        match self.topology {
            Topology::AllInOne => self.folder.path().to_owned(),
            Topology::Planes | Topology::Split => self.folder.path().join(services.join("-")),
        }
    }

    fn write_config(&self, setup: &Setup, services: &[&str]) {
        let folder = self.folder_of(services);
        let mut setup = self.configured(setup, &folder);
        let position = self.position(services[0]);
        let known = self.nodes.get(position).map(Node::grpc);
        let promised = self.promised.filter(|(of, _)| *of == position).map(|(_, address)| address);
        // Others know it by its address, so it must find that free when it is started again.
        if self.engines.is_some() {
            let address = known.or(promised).unwrap_or_else(free_address);
            setup = setup.section("grpc", &json!({"listen": address}));
        }
        fs::write(config_file(&folder), setup.render(&data_dir(&folder))).unwrap();
    }

    fn write_certificates(&self, folder: &Path, services: &[&str]) {
        if let Some(authority) = self.proof.authority() {
            authority.write(folder, services);
        }
    }

    /// Who signed the certificates of its processes.
    ///
    /// # Panics
    /// When they have none.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        self.proof.authority().expect("its processes have certificates")
    }

    /// Writes a certificate of another authority for every process, which it is to believe alone from then on. Returns
    /// the one before.
    ///
    /// # Panics
    /// When its processes have none.
    pub fn renew_certificates(&mut self, authority: Authority) -> Authority {
        let before = match &mut self.proof {
            Proof::Tokens => panic!("its processes have no certificates"),
            Proof::Certificates(present) | Proof::Both(present) => std::mem::replace(present, authority),
        };
        for services in self.topology.groups() {
            self.write_certificates(&self.folder_of(services), services);
        }
        before
    }

    /// A configuration with what all processes of the deployment have in common, for the one with this folder.
    fn configured(&self, setup: &Setup, folder: &Path) -> Setup {
        let Some(engines) = &self.engines else { return setup.clone() };
        engines
            .configure(setup.clone())
            .set("operator_token", OPERATOR_TOKEN)
            .set_unless_set("master_key", MASTER_KEY)
            .section("identity", &self.proof.section(folder))
            .set("peers", self.peers())
    }

    /// Where those are that run already, or will.
    fn peers(&self) -> Value {
        let scheme = if self.proof.authority().is_some() { "https" } else { "http" };
        let mut places = BTreeMap::<_, Vec<_>>::new();
        let first = self.nodes.iter().enumerate();
        let known = first.chain(self.replicas.iter().map(|(position, node)| (*position, node)));
        let promised = self.promised.filter(|(position, _)| self.nodes.len() <= *position);
        for (position, address) in known.map(|(position, node)| (position, node.grpc())).chain(promised) {
            for service in self.topology.groups()[position].iter().filter(|service| **service != "edge") {
                places.entry(*service).or_default().push(format!("{scheme}://{address}"));
            }
        }
        json!(places.into_iter().map(|(service, at)| (service, at.join(","))).collect::<BTreeMap<_, _>>())
    }

    fn position(&self, service: &str) -> usize {
        let groups = self.topology.groups();
        groups.iter().position(|group| group.contains(&service)).expect("a service of Headgate")
    }

    /// The process that runs a service.
    ///
    /// # Panics
    /// When there is no such service.
    #[must_use]
    pub fn node(&self, service: &str) -> &Node {
        &self.nodes[self.position(service)]
    }

    /// The process that runs a service.
    ///
    /// # Panics
    /// When there is no such service.
    pub fn node_mut(&mut self, service: &str) -> &mut Node {
        let position = self.position(service);
        &mut self.nodes[position]
    }

    /// What its processes stand on.
    ///
    /// # Panics
    /// When its topology needs nothing.
    pub fn engines(&mut self) -> &mut Engines {
        self.engines.as_mut().expect("a topology of several processes")
    }

    /// Everything that is in its tables, where they are not in its data folders.
    #[must_use]
    pub fn tables(&self) -> Option<String> {
        Some(self.engines.as_ref()?.postgres.as_ref()?.dump())
    }

    /// Waits until every process is ready.
    ///
    /// # Panics
    /// When one stays unready.
    pub async fn ready(&self) {
        for node in &self.nodes {
            node.ready().await;
        }
    }

    /// Ends every process as a crash would: SIGKILL, nothing is flushed.
    pub fn kill(&mut self) {
        // The router first, so that it has no time to account for what becomes of the others.
        let router = self.position("router");
        self.nodes[router].kill();
        for (position, node) in self.nodes.iter_mut().enumerate() {
            if position != router {
                node.kill();
            }
        }
    }

    /// Asks every process to end, as an init system does, and returns the first exit code that is not 0.
    pub async fn terminate(&mut self) -> Option<i32> {
        self.nodes.iter().for_each(Node::ask_to_end);
        let mut code = Some(0);
        for node in &mut self.nodes {
            let ended = node.ended().await;
            code = if code == Some(0) { ended } else { code };
        }
        code
    }

    /// Starts it again on the same folders, perhaps on other ports.
    pub async fn restart(&mut self) {
        for node in &mut self.nodes {
            node.restart().await;
        }
        self.ready().await;
    }

    /// Starts it again on the same folders with another configuration.
    pub async fn restart_with(&mut self, setup: &Setup) {
        for services in self.topology.groups() {
            self.write_config(setup, services);
        }
        self.restart().await;
    }

    /// Where it listens.
    ///
    /// # Panics
    /// Never: there is an edge.
    #[must_use]
    pub fn listeners(&self) -> Listeners {
        let front = self.node("edge").listeners();
        Listeners {
            edge: front.edge.expect("it runs the edge"),
            grpc: self.node("router").grpc(),
            ops: front.ops,
        }
    }

    /// The URL below which OpenAI's paths stand, as an SDK's `base_url`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.listeners().edge)
    }

    /// A REST client with the key of the tenant `acme`.
    #[must_use]
    pub fn client(&self) -> Client {
        self.anonymous().with_key(KEY)
    }

    /// A REST client without a key.
    #[must_use]
    pub fn anonymous(&self) -> Client {
        Client::new(self.listeners().edge)
    }

    /// A client of the ops listener of the process that has the edge.
    #[must_use]
    pub fn ops(&self) -> Client {
        self.node("edge").ops()
    }

    /// A gRPC connection for consumers that presents `credential`.
    pub async fn grpc(&self, credential: &str) -> Authorized {
        self.grpc_of("router", credential).await
    }

    /// A gRPC connection to the process of a service that presents the operator token.
    pub async fn operator(&self, service: &str) -> Authorized {
        self.grpc_of(service, &self.operator_token()).await
    }

    /// A gRPC connection to the process of a service that presents `credential`.
    pub async fn grpc_of(&self, service: &str, credential: &str) -> Authorized {
        let address = self.node(service).grpc();
        match self.proof.authority() {
            None => authorized(address, credential).await,
            Some(authority) => {
                bearing(authority.connect(address, None).await.expect("gRPC is served"), credential)
            }
        }
    }

    /// The operator token.
    #[must_use]
    pub fn operator_token(&self) -> String {
        match self.topology {
            Topology::Planes | Topology::Split => OPERATOR_TOKEN.to_owned(),
            Topology::AllInOne => {
                let file = self.data_dir_of("auth").join("operator.token");
                fs::read_to_string(file).expect("the operator token").trim().to_owned()
            }
        }
    }

    /// The data folder of every process.
    #[must_use]
    pub fn data_dirs(&self) -> Vec<PathBuf> {
        self.topology.groups().iter().map(|services| data_dir(&self.folder_of(services))).collect()
    }

    /// The data folder of the process that runs a service.
    #[must_use]
    pub fn data_dir_of(&self, service: &str) -> PathBuf {
        let group = self.topology.groups()[self.position(service)];
        data_dir(&self.folder_of(group))
    }

    /// All that every run of every process has printed.
    #[must_use]
    pub fn logs(&self) -> String {
        let replicas = self.replicas.iter().map(|(_, node)| node);
        self.nodes.iter().chain(replicas).map(Node::logs).collect()
    }
}

fn new_folder() -> TempDir {
    tempfile::Builder::new().prefix("headgate-test-").tempdir().expect("a temporary folder")
}
