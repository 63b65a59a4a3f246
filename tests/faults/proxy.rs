//! A proxy for TCP that can be told to be slow, silent, or gone: the bad network between a gateway and a broker.
//!
//! ```text
//! client ── reading ── line of chunks, each with its time ── writing ── upstream      and the same the other way
//! ```

use std::net::TcpListener as StdListener;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

/// What happens to connections, the open and the new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    /// All passes.
    Clear,
    /// Every byte comes this much later, each way.
    Slow(Duration),
    /// Half open: connections are accepted and kept, and nothing passes. What was sent meanwhile passes afterwards, as
    /// TCP would send it again.
    Silent,
    /// Requests arrive, their answers do not.
    Mute,
    /// Connections are closed, new ones at once.
    Cut,
    /// The same with a reset instead of an end.
    Reset,
}

/// A proxy in front of one address. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    sky: watch::Sender<Sky>,
}

/// What connections watch.
#[derive(Debug, Clone, Copy)]
struct Sky {
    weather: Weather,
    /// How often all connections were broken. A watcher sees only the latest weather, so a short reset would pass unseen.
    breaks: u64,
}

/// Chunks under way in one direction at most.
const CHUNKS_MAX: usize = 256;
const CHUNK_BYTES: usize = 16 * 1024;

impl Proxy {
    /// Passes on what comes to the listener.
    pub(crate) fn start(runtime: &Handle, listener: StdListener, upstream: String) -> Self {
        let (sky, watched) = watch::channel(Sky { weather: Weather::Clear, breaks: 0 });
        runtime.spawn(serve(listener, upstream, watched));
        Self { sky }
    }

    pub(crate) fn set(&self, weather: Weather) {
        self.sky.send_modify(|sky| sky.weather = weather);
    }

    pub(crate) fn weather(&self) -> Weather {
        self.sky.borrow().weather
    }

    /// Resets every open connection; new ones have the weather there is.
    pub(crate) fn break_all(&self) {
        self.sky.send_modify(|sky| sky.breaks += 1);
    }
}

async fn serve(listener: StdListener, upstream: String, mut sky: watch::Receiver<Sky>) {
    listener.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (client, _) = accepted.unwrap();
                let breaks = sky.borrow().breaks;
                tokio::spawn(join(client, upstream.clone(), sky.clone(), breaks));
            }
            changed = sky.changed() => if changed.is_err() { return },
        }
    }
}

/// Joins a client with the upstream until one of them ends, or the weather ends it.
async fn join(mut client: TcpStream, upstream: String, mut sky: watch::Receiver<Sky>, breaks: u64) {
    let mut broken = sky.clone();
    let broken = async move {
        let is_broken =
            |sky: &Sky| sky.breaks != breaks || matches!(sky.weather, Weather::Cut | Weather::Reset);
        let end = |sky: &Sky| if sky.breaks == breaks { sky.weather } else { Weather::Reset };
        broken.wait_for(is_broken).await.map_or(Weather::Cut, |sky| end(&sky))
    };
    let passing = async {
        // A connection that begins in silence reaches nobody.
        if sky.wait_for(|sky| sky.weather != Weather::Silent).await.is_err() {
            return;
        }
        let Ok(mut server) = TcpStream::connect(&upstream).await else { return };
        let (client_reads, client_writes) = client.split();
        let (server_reads, server_writes) = server.split();
        let (there, back) = (sky.clone(), sky);
        tokio::select! {
            () = pump(client_reads, server_writes, there, |weather| weather == Weather::Silent) => {}
            () = pump(server_reads, client_writes, back, |weather| {
                matches!(weather, Weather::Silent | Weather::Mute)
            }) => {}
        }
    };
    let end = tokio::select! {
        end = broken => end,
        () = passing => Weather::Cut,
    };
    if end == Weather::Reset {
        drop(SockRef::from(&client).set_linger(Some(Duration::ZERO)));
    }
}

/// Moves bytes one way until either side ends.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut sky: watch::Receiver<Sky>,
    is_silent: fn(Weather) -> bool,
) {
    let (line, mut due) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS_MAX);
    let reading = async move {
        let mut chunk = vec![0; CHUNK_BYTES];
        while let Ok(count @ 1..) = from.read(&mut chunk).await {
            if line.send((Instant::now(), chunk[..count].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let writing = async move {
        while let Some((came, bytes)) = due.recv().await {
            let weather = sky.wait_for(|sky| !is_silent(sky.weather)).await.map(|sky| sky.weather);
            if let Ok(Weather::Slow(delay)) = weather {
                sleep_until(came + delay).await;
            }
            if weather.is_err() || to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(reading, writing);
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::{Duration, Handle, Instant, Proxy, StdListener, TcpListener, TcpStream, Weather};

    const PATIENCE: Duration = Duration::from_secs(60);

    /// A proxy before a server that sends back what it gets.
    async fn echo() -> (Proxy, std::net::SocketAddr) {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = upstream.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = upstream.accept().await {
                tokio::spawn(async move {
                    let (mut reads, mut writes) = stream.split();
                    tokio::io::copy(&mut reads, &mut writes).await
                });
            }
        });
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        let door = listener.local_addr().unwrap();
        (Proxy::start(&Handle::current(), listener, address), door)
    }

    async fn ask(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
        stream.write_all(text).await?;
        answer(stream, text.len()).await
    }

    async fn answer(stream: &mut TcpStream, length: usize) -> std::io::Result<Vec<u8>> {
        let mut back = vec![0; length];
        let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut back)).await;
        read.expect("an answer or an end comes")?;
        Ok(back)
    }

    #[tokio::test]
    async fn in_clear_weather_all_passes() {
        let (_proxy, door) = echo().await;
        let mut stream = TcpStream::connect(door).await.unwrap();
        let large: Vec<u8> = (0_u8..=255).cycle().take(300_000).collect();
        let (mut reads, mut writes) = stream.split();
        let mut back = vec![0; large.len()];
        let (sent, read) = tokio::join!(writes.write_all(&large), reads.read_exact(&mut back));
        sent.unwrap();
        read.unwrap();
        assert!(back == large);
    }

    #[tokio::test]
    async fn a_slow_path_delays_each_way() {
        let (proxy, door) = echo().await;
        proxy.set(Weather::Slow(Duration::from_millis(100)));
        let mut stream = TcpStream::connect(door).await.unwrap();
        let asked = Instant::now();
        assert_eq!(ask(&mut stream, b"hello").await.unwrap(), b"hello");
        assert!(asked.elapsed() >= Duration::from_millis(200), "{:?}", asked.elapsed());
    }

    #[tokio::test]
    async fn in_silence_connections_stand_and_what_was_sent_passes_afterwards() {
        let (proxy, door) = echo().await;
        let mut open = TcpStream::connect(door).await.unwrap();
        ask(&mut open, b"a").await.unwrap();
        for silence in [Weather::Silent, Weather::Mute] {
            proxy.set(silence);
            let mut new = TcpStream::connect(door).await.unwrap();
            for stream in [&mut open, &mut new] {
                stream.write_all(b"b").await.unwrap();
                let quiet = tokio::time::timeout(Duration::from_millis(100), stream.read_u8()).await;
                assert!(quiet.is_err(), "{silence:?} lets {quiet:?} pass");
            }
            proxy.set(Weather::Clear);
            for stream in [&mut open, &mut new] {
                assert_eq!(answer(stream, 1).await.unwrap(), b"b");
            }
        }
    }

    #[tokio::test]
    async fn a_cut_ends_connections_and_a_reset_breaks_them() {
        let (proxy, door) = echo().await;
        for (weather, end) in
            [(Weather::Cut, ErrorKind::UnexpectedEof), (Weather::Reset, ErrorKind::ConnectionReset)]
        {
            let mut open = TcpStream::connect(door).await.unwrap();
            ask(&mut open, b"a").await.unwrap();
            proxy.set(weather);
            assert_eq!(answer(&mut open, 1).await.unwrap_err().kind(), end);
            let mut new = TcpStream::connect(door).await.unwrap();
            assert_eq!(answer(&mut new, 1).await.unwrap_err().kind(), end);
            proxy.set(Weather::Clear);
            let mut healed = TcpStream::connect(door).await.unwrap();
            assert_eq!(ask(&mut healed, b"c").await.unwrap(), b"c");
        }
    }

    #[tokio::test]
    async fn open_connections_are_broken_in_any_weather_and_new_ones_are_not() {
        let (proxy, door) = echo().await;
        for weather in [Weather::Clear, Weather::Silent, Weather::Mute] {
            let mut open = TcpStream::connect(door).await.unwrap();
            ask(&mut open, b"a").await.unwrap();
            proxy.set(weather);
            proxy.break_all();
            proxy.set(Weather::Clear);
            assert_eq!(answer(&mut open, 1).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
            let mut new = TcpStream::connect(door).await.unwrap();
            assert_eq!(ask(&mut new, b"c").await.unwrap(), b"c");
        }
    }

    #[tokio::test]
    async fn a_proxy_without_an_upstream_ends_connections() {
        let nobody = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        let door = listener.local_addr().unwrap();
        let _proxy = Proxy::start(&Handle::current(), listener, nobody.to_string());
        let mut stream = TcpStream::connect(door).await.unwrap();
        assert!(answer(&mut stream, 1).await.is_err());
    }
}
