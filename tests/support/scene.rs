//! A lab with servers and a load balancer in it.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;

use abi::reason::{Action, Reason};
use control::instance::socket_path;
use control::status::Status;
use lab::fetch::Target;
use lab::topology::{L2DSR, ROUTED, Role, TUNNEL, everywhere};
use lab::{Blueprint, Host, HostProcess, Lab, SWITCH, Topology, port_name};

use super::binary::{Finished, evenkeel, finish};
use super::folder::Folder;
use super::link::xdp_programs;
use super::service::{Family, Service};
use super::wait::PATIENCE;

/// Port of services and servers.
pub const PORT: u16 = 8000;

/// A lab. Everything in it ends, and it goes, with this value.
#[derive(Debug)]
pub struct Scene {
    // In the order of their end.
    balancer: Option<HostProcess>,
    pub(super) decapsulators: Vec<HostProcess>,
    servers: BTreeMap<String, HostProcess>,
    lab: Lab,
    folder: Folder,
}

/// An instance tag that no other run of the tests has.
#[must_use]
pub fn tag(test: &str) -> String {
    format!("{test}{}", std::process::id())
}

/// Packets that met their verdict for this reason.
#[must_use]
pub fn reason(status: &Status, name: &str) -> u64 {
    *status
        .reasons
        .get(name)
        .unwrap_or_else(|| panic!("there is no reason {name}: {:?}", status.reasons))
}

/// Packets that were dropped, by the names of the reasons there were.
#[must_use]
pub fn dropped(status: &Status) -> Vec<(&'static str, u64)> {
    let drops = Reason::ALL
        .iter()
        .filter(|reason| reason.action() == Action::Drop);
    drops
        .map(|drop| (drop.name(), reason(status, drop.name())))
        .filter(|(_, count)| *count > 0)
        .collect()
}

impl Scene {
    /// A lab whose backends serve, without a load balancer yet; `test` is of `a-z` and `0-9`.
    ///
    /// # Panics
    /// It does not come up.
    #[must_use]
    pub fn new(topology: &'static Topology, test: &str) -> Self {
        let blueprint = Blueprint::new(topology, Some(&tag(test))).expect("a name for the lab");
        Self::of(blueprint)
    }

    /// The same of a lab with other settings.
    ///
    /// # Panics
    /// It does not come up.
    #[must_use]
    pub fn of(blueprint: Blueprint) -> Self {
        let lab = blueprint
            .pass_object(engine::object::PASS)
            .up()
            .unwrap_or_else(|error| panic!("{error}"));
        let mut scene = Self {
            balancer: None,
            decapsulators: Vec::new(),
            servers: BTreeMap::new(),
            folder: Folder::new(&lab.id().to_string()),
            lab,
        };
        scene.serve_all(PORT);
        scene
    }

    /// The lab that fits a mode, with the services of [`Self::services`] at [`PORT`].
    ///
    /// # Panics
    /// It does not come up.
    #[must_use]
    pub fn in_mode(mode: &'static str, test: &str) -> Self {
        Self::in_mode_with(mode, test, |blueprint| blueprint)
    }

    /// The same with other settings.
    ///
    /// # Panics
    /// It does not come up.
    #[must_use]
    pub fn in_mode_with(
        mode: &'static str,
        test: &str,
        settings: impl FnOnce(Blueprint) -> Blueprint,
    ) -> Self {
        let topology = match mode {
            "nat" | "dnat" => &ROUTED,
            "l2-dsr" => &L2DSR,
            _ => &TUNNEL,
        };
        let tag = tag(&format!("{test}{}", mode.replace('-', "")));
        let blueprint = Blueprint::new(topology, Some(&tag)).expect("a name for the lab");
        let mut scene = Self::of(settings(blueprint));
        if matches!(mode, "ipip" | "gue") {
            scene.decapsulate();
        }
        scene.balance(&scene.services(mode, PORT));
        scene
    }

    /// Starts a server on every backend.
    ///
    /// # Panics
    /// One does not get ready.
    pub fn serve_all(&mut self, port: u16) {
        for backend in self.lab.id().topology().with_role(Role::Backend) {
            self.serve(backend.name, port);
        }
    }

    /// Starts a server on a host, by the host's name.
    ///
    /// # Panics
    /// It does not get ready.
    pub fn serve(&mut self, host: &str, port: u16) {
        self.serve_as(host, host, port);
    }

    /// Starts a server of this name on all addresses of a host, VIPs included.
    ///
    /// # Panics
    /// It does not get ready, or there is one of this name and port.
    pub fn serve_as(&mut self, name: &str, host: &str, port: u16) {
        let has_ipv6 = self.lab.id().topology().vip6.is_some();
        let host = self.host(host);
        let mut command = host.command(evenkeel());
        command.args(["lab", "serve", "--name", name]);
        for address in everywhere(port) {
            if address.is_ipv4() || has_ipv6 {
                command.args(["--listen", &address.to_string()]);
            }
        }
        let server = HostProcess::spawn(host.name(), command);
        let mut server = server.unwrap_or_else(|error| panic!("{error}"));
        if let Err(error) = server.wait_ready(PATIENCE) {
            panic!("{error}");
        }
        let before = self.servers.insert(format!("{name}:{port}"), server);
        assert!(before.is_none(), "{name} serves {port} already");
    }

    /// Kills the server of this name and port.
    ///
    /// # Panics
    /// There is none.
    pub fn kill_server(&mut self, name: &str, port: u16) {
        let server = self.servers.remove(&format!("{name}:{port}"));
        let mut server = server.unwrap_or_else(|| panic!("{name} does not serve {port}"));
        server.kill().unwrap_or_else(|error| panic!("{error}"));
    }

    /// What the lab is made after.
    #[must_use]
    pub fn topology(&self) -> &'static Topology {
        self.lab.id().topology()
    }

    /// A host by name.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn host(&self, name: &str) -> Host {
        self.lab
            .host(name)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// The folder for this test's files.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Both ends of every cable: host and interface, the switch's ends with the host's name
    /// `switch`.
    #[must_use]
    pub fn cable_ends(&self) -> Vec<(Host, String)> {
        let mut ends = Vec::new();
        for host in self.lab.id().topology().hosts {
            for interface in host.interfaces {
                ends.push((self.host(host.name), interface.name.to_owned()));
                ends.push((self.host(SWITCH), port_name(host, interface)));
            }
        }
        ends
    }

    /// A host's first address.
    ///
    /// # Panics
    /// It has none.
    #[must_use]
    pub fn address(&self, host: &str) -> Ipv4Addr {
        match self.host(host).address() {
            Some(IpAddr::V4(address)) => address,
            other => panic!("expected an IPv4 address of {host}, found {other:?}"),
        }
    }

    /// What clients reach.
    #[must_use]
    pub fn vip(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.lab.id().topology().vip, PORT)
    }

    /// The service's address in one family.
    ///
    /// # Panics
    /// The lab has no IPv6.
    #[must_use]
    pub fn vip_of(&self, family: Family) -> IpAddr {
        let mut vips = self.lab.id().topology().vips();
        vips.find(|vip| family.has(*vip)).expect("a lab with IPv6")
    }

    /// The backends' addresses, in the order of the topology.
    #[must_use]
    pub fn backends(&self, family: Family) -> Vec<IpAddr> {
        let backends = self.lab.id().topology().with_role(Role::Backend);
        let addresses = backends.flat_map(lab::topology::HostSpec::addresses);
        addresses.filter(|address| family.has(*address)).collect()
    }

    /// Whom backends see when the first client asks a service of this mode.
    ///
    /// # Panics
    /// There is nobody of this family.
    #[must_use]
    pub fn peer_of_backends(&self, mode: &str, family: Family) -> IpAddr {
        if mode != "nat" {
            return family.address_of(&self.client());
        }
        let interfaces = self.balancer_host().interfaces();
        let beside_backends = interfaces.last().expect("an interface").addresses();
        let mut addresses = beside_backends.map(|cidr| cidr.address);
        let address = addresses.find(|address| family.has(*address));
        address.expect("an address of both families")
    }

    /// A service of this mode for each family and protocol, at this port, with all backends.
    #[must_use]
    pub fn services(&self, mode: &'static str, port: u16) -> Vec<Service> {
        let both = Family::BOTH.map(|family| {
            let service = SocketAddr::new(self.vip_of(family), port);
            Service::both(service, mode, &self.backends(family))
        });
        both.concat()
    }

    /// The lab's first client.
    ///
    /// # Panics
    /// It has none.
    #[must_use]
    pub fn client(&self) -> Host {
        let mut clients = self.lab.id().topology().with_role(Role::Client);
        self.host(clients.next().expect("a client").name)
    }

    /// Where `fetch` reaches it.
    #[must_use]
    pub fn target(&self) -> Target {
        Target::root(self.vip().into())
    }

    /// The lab's load balancer host.
    #[must_use]
    pub fn balancer_host(&self) -> Host {
        self.host("lb")
    }

    /// Starts `evenkeel run ARGUMENTS` on the load balancer's host and waits until it is ready.
    ///
    /// # Panics
    /// It does not get ready.
    pub fn run(&mut self, arguments: &str) -> &mut HostProcess {
        self.run_as(evenkeel(), arguments)
    }

    /// The same with another binary.
    ///
    /// # Panics
    /// It does not get ready.
    pub fn run_as(&mut self, binary: PathBuf, arguments: &str) -> &mut HostProcess {
        // What a person would see, for tests that look for it.
        let words: Vec<_> = ["run", "--log-format", "text"]
            .into_iter()
            .chain(arguments.split_whitespace())
            .collect();
        let process = self.balancer_host().spawn(binary, &words);
        let process = self
            .balancer
            .insert(process.unwrap_or_else(|error| panic!("{error}")));
        if let Err(error) = process.wait_ready(PATIENCE) {
            panic!("{error}");
        }
        process
    }

    /// Starts `evenkeel run --config --xdp` with this configuration and mode.
    ///
    /// # Panics
    /// It does not get ready.
    pub fn run_config(&mut self, text: &str, mode: &str) -> &mut HostProcess {
        let path = self.folder.write("config.toml", text);
        self.run(&format!("--config {} --xdp {mode}", path.display()))
    }

    /// Starts `evenkeel run` on all interfaces of the load balancer, with these services.
    ///
    /// # Panics
    /// It does not get ready.
    pub fn balance(&mut self, services: &[Service]) -> &mut HostProcess {
        let text = self.config(services);
        self.run_config(&text, "auto")
    }

    /// Gives the running load balancer other services by `evenkeel reload`.
    ///
    /// # Panics
    /// It refuses them.
    pub fn reload(&self, services: &[Service]) {
        self.reload_with(services, "");
    }

    /// The same with other tables in the file.
    ///
    /// # Panics
    /// It is refused.
    pub fn reload_with(&self, services: &[Service], tables: &str) {
        let text = self.config(services) + tables;
        let _same_path = self.folder.write("config.toml", text);
        let Finished { code, stderr, .. } = self.command("reload");
        assert_eq!(code, Some(0), "{stderr}");
    }

    /// Writes the configuration file: the service that [`Self::vip`] is, with this list of
    /// backends as TOML has it. Returns where it is.
    #[must_use]
    pub fn write_config(&self, backends: &str) -> PathBuf {
        let (interfaces, vip) = (self.interfaces(), self.vip());
        let text = format!(
            "{interfaces}[[service]]\naddress = \"tcp://{vip}\"\nbackends = [{backends}]\n"
        );
        self.folder.write("config.toml", text)
    }

    fn config(&self, services: &[Service]) -> String {
        let services: Vec<_> = services.iter().map(Service::to_string).collect();
        self.interfaces() + &services.concat()
    }

    /// All of the load balancer's, as the configuration's first line has them.
    fn interfaces(&self) -> String {
        let host = self.balancer_host();
        let interfaces: Vec<_> = host.interfaces().iter().map(|i| i.name).collect();
        format!("interfaces = {interfaces:?}\n")
    }

    /// The running load balancer.
    ///
    /// # Panics
    /// It was not started.
    pub fn balancer(&mut self) -> &mut HostProcess {
        self.balancer.as_mut().expect("a running load balancer")
    }

    /// Runs `evenkeel ARGUMENTS` on the load balancer's host to its end.
    #[must_use]
    pub fn command(&self, arguments: &str) -> Finished {
        let mut command = self.balancer_host().command(evenkeel());
        command.args(arguments.split_whitespace());
        finish(&command)
    }

    /// What `evenkeel status --json` says.
    ///
    /// # Panics
    /// It fails.
    #[must_use]
    pub fn status(&self) -> Status {
        let Finished {
            code,
            stdout,
            stderr,
        } = self.command("status --json");
        assert_eq!(code, Some(0), "{stderr}");
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"))
    }

    /// Checks of each backend of each service that were good, and that were bad, so far.
    ///
    /// # Panics
    /// One is not checked.
    #[must_use]
    pub fn checks(&self) -> Vec<(u64, u64)> {
        let services = self.status().services;
        let backends = services.iter().flat_map(|service| &service.backends);
        let health = backends.map(|backend| backend.health.as_ref().expect("a check"));
        health
            .map(|health| (health.passed, health.failed))
            .collect()
    }

    /// Whether the instance has a socket, whoever is at its other end.
    #[must_use]
    pub fn has_socket(&self) -> bool {
        socket_path(self.balancer_host().namespace()).exists()
    }

    /// A file of the instance beside its socket, by its ending.
    #[must_use]
    pub fn file(&self, ending: &str) -> PathBuf {
        socket_path(self.balancer_host().namespace()).with_extension(ending)
    }

    /// The XDP programs on all interfaces of the load balancer.
    #[must_use]
    pub fn programs(&self) -> Vec<u64> {
        let host = self.balancer_host();
        let interfaces = host.interfaces().iter();
        interfaces
            .flat_map(|interface| xdp_programs(&host, interface.name))
            .collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let socket = socket_path(self.balancer_host().namespace());
        self.balancer = None;
        // One that was killed could not remove it.
        for file in ["state", "health"] {
            let _ = fs::remove_file(socket.with_extension(file));
        }
        let _ = fs::remove_file(socket);
    }
}
