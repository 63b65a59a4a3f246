//! The paths from each broker to each other one, which no client takes.
//!
//! Brokers and controllers know one another by name, and each looks names up in a file of its own. There another node has
//! an address that only this one is told: that of a proxy before that node.

use std::net::{Ipv4Addr, TcpListener};

use tokio::runtime::Handle;

use crate::broker::Cluster;
use crate::brokers::NODES;
use crate::proxy::{Proxy, Weather};

/// All of them.
#[derive(Debug)]
pub(crate) struct Links(Vec<Link>);

#[derive(Debug)]
struct Link {
    from: usize,
    to: usize,
    proxy: Proxy,
}

impl Links {
    /// Puts proxies between the nodes, before they are started.
    pub(crate) fn start(runtime: &Handle, cluster: &mut Cluster) -> Self {
        let ports = cluster.know_by_name(address);
        let mut links = Vec::new();
        for (from, to) in pairs() {
            for port in ports[to] {
                let listener = TcpListener::bind((address(from, to), port)).unwrap();
                let proxy = Proxy::start(runtime, listener, format!("127.0.0.1:{port}"));
                links.push(Link { from, to, proxy });
            }
        }
        Self(links)
    }

    /// No other node hears a node any more, nor does it hear them: what is sent is lost, and nobody is told so.
    pub(crate) fn isolate(&self, node: usize) {
        let of_node = self.0.iter().filter(|link| link.from == node || link.to == node);
        of_node.for_each(|link| link.proxy.set(Weather::Silent));
    }

    /// Ends that. What was silent is broken.
    pub(crate) fn mend(&self) {
        for link in &self.0 {
            if link.proxy.weather() != Weather::Clear {
                link.proxy.break_all();
                link.proxy.set(Weather::Clear);
            }
        }
    }
}

/// Where a node looks for another one.
fn address(from: usize, to: usize) -> Ipv4Addr {
    let byte = |node| u8::try_from(node + 1).unwrap();
    if from == to { Ipv4Addr::LOCALHOST } else { Ipv4Addr::new(127, 1, byte(from), byte(to)) }
}

fn pairs() -> impl Iterator<Item = (usize, usize)> {
    (0..NODES).flat_map(|from| (0..NODES).map(move |to| (from, to))).filter(|(from, to)| from != to)
}
