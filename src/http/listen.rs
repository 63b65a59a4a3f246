//! Listeners: one per shard on the same port, and one for metrics.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use super::{Config, Error};

/// Pending connections the kernel holds per listener.
const BACKLOG: i32 = 1024;

/// Bound listeners, to be handed to [`super::Server::run`].
#[derive(Debug)]
pub struct Listeners {
    pub(super) shards: Vec<TcpListener>,
    pub(super) metrics: Option<TcpListener>,
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
}

impl Listeners {
    /// Binds the addresses of the configuration; port 0 takes any free one.
    ///
    /// # Errors
    /// [`Error::Listen`] with the address that cannot be had, also when another process listens there.
    pub fn bind(config: &Config) -> Result<Self, Error> {
        let failed = |key, address| move |source| Error::Listen { key, address, source };
        let listen = || failed("http.listen", config.listen);
        let shards = bind_shards(config.listen, config.shards.get()).map_err(listen())?;
        let address = shards.first().map_or(Ok(config.listen), TcpListener::local_addr).map_err(listen())?;
        let metrics = config
            .metrics_listen
            .map(|wanted| bind(wanted, Sharing::Alone).map_err(failed("http.metrics_listen", wanted)))
            .transpose()?;
        let metrics_address = metrics.as_ref().and_then(|listener| listener.local_addr().ok());
        Ok(Self { shards, metrics, address, metrics_address })
    }

    /// Where clients connect.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where `/metrics` is served.
    #[must_use]
    pub const fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Sharing {
    Alone,
    WithShards,
}

/// The first binding is a probe without port sharing: a second gateway on the same port must be an error, not
/// every other connection.
fn bind_shards(wanted: SocketAddr, shards: usize) -> io::Result<Vec<TcpListener>> {
    drop(socket(wanted, Sharing::Alone)?);
    let first = bind(wanted, Sharing::WithShards)?;
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..shards {
        listeners.push(bind(address, Sharing::WithShards)?);
    }
    Ok(listeners)
}

fn bind(address: SocketAddr, sharing: Sharing) -> io::Result<TcpListener> {
    let socket = socket(address, sharing)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn socket(address: SocketAddr, sharing: Sharing) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if sharing == Sharing::WithShards {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::{Sharing, bind, bind_shards};

    #[test]
    fn shards_share_one_port() {
        let listeners = bind_shards("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let ports: Vec<u16> = listeners.iter().map(|one| one.local_addr().unwrap().port()).collect();
        assert_eq!(ports.len(), 3);
        assert!(ports.iter().all(|port| *port == ports[0] && *port != 0));
    }

    #[test]
    fn a_port_in_use_is_an_error_even_when_its_owner_shares_it() {
        let others = bind_shards("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        let address = others[0].local_addr().unwrap();
        assert!(bind_shards(address, 2).is_err());
        assert!(bind(address, Sharing::Alone).is_err());
        assert!(TcpListener::bind(address).is_err());
    }
}
