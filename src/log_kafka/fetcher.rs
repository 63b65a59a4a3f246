//! Clients that read partitions for feeds, tables and catch-up, shared by all readers.
//!
//! A client holds one position per partition, so readers of the same partition sit in different clients; usually one
//! client carries all tails. Each partition has a queue of its own, which wakes its reader; assigning and giving back
//! blocks, and is done by the client's thread. Tails and readers of old records have clients of their own, so that
//! neither waits for the other's requests.

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::{ClientConfig, TopicPartitionList};
use tokio::sync::{Notify, oneshot};

use crate::event::{Offset, Partition, Topic};
use crate::log::{Error, Purpose};

use super::connection::{Connection, Watch};
use super::failure::unavailable;
use super::metrics::Metrics;
use super::record::place;
use super::settings::Settings;
use super::{locked, native};

type Client = BaseConsumer<Watch>;
/// A partition's own queue of records read ahead.
pub(super) type Queue = PartitionQueue<Watch>;
type Place = (Topic, Partition);

/// So many readers of one partition and purpose at a time.
const CLIENTS_MAX: usize = 32;
/// How often a client's thread looks at what the client has to tell.
const TEND_EVERY: Duration = Duration::from_millis(200);

/// All reading clients.
#[derive(Debug)]
pub(super) struct Fetchers {
    tails: Arc<Pool>,
    others: Arc<Pool>,
}

impl Fetchers {
    pub(super) fn new(settings: &Settings, connection: &Arc<Connection>, metrics: &Arc<Metrics>) -> Self {
        let pool = |role, wait_ms, queued_kbytes| {
            Arc::new(Pool {
                config: settings.fetcher(wait_ms, queued_kbytes),
                watch: Watch::of(Arc::clone(connection), role),
                metrics: Arc::clone(metrics),
                clients: Mutex::default(),
            })
        };
        Self { tails: pool("tail", 100, 512), others: pool("catch-up", 20, 4_096) }
    }

    /// Reads a partition from `from` on; what comes wakes `wake`.
    pub(super) async fn open(
        &self,
        purpose: Purpose,
        place: &Place,
        from: Offset,
        wake: &Arc<Notify>,
    ) -> Result<Slot, Error> {
        let pool = match purpose {
            Purpose::Tail => &self.tails,
            Purpose::CatchUp => &self.others,
        };
        let seat = pool.reserve(place)?;
        let (answer, answered) = oneshot::channel();
        let order = Order::Assign { place: place.clone(), from, wake: Arc::clone(wake), answer };
        if seat.orders.send(order).is_err() {
            return Err(Error::Closed);
        }
        let queue = answered.await.map_err(|_| Error::Closed)?.map_err(unavailable)?;
        Ok(Slot { queue, _seat: seat })
    }
}

/// A partition being read. Dropping it gives the partition back.
pub(super) struct Slot {
    /// Dropped before the seat: the partition's next reader gets the same queue underneath.
    pub(super) queue: Queue,
    _seat: Seat,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Slot")
    }
}

/// Clients of one purpose.
#[derive(Debug)]
struct Pool {
    config: ClientConfig,
    watch: Watch,
    metrics: Arc<Metrics>,
    /// Guards who reads what.
    clients: Mutex<Clients>,
}

#[derive(Debug, Default)]
struct Clients {
    all: Vec<Seats>,
    last_id: u64,
}

/// A client, as its pool knows it.
#[derive(Debug)]
struct Seats {
    id: u64,
    /// Orders wait for at most one assignment and one release of each reader. The thread ends with the last sender.
    orders: Sender<Order>,
    taken: HashSet<Place>,
}

/// A partition's place in a client.
#[derive(Debug)]
struct Seat {
    pool: Arc<Pool>,
    client: u64,
    orders: Sender<Order>,
    place: Place,
}

enum Order {
    Assign { place: Place, from: Offset, wake: Arc<Notify>, answer: oneshot::Sender<KafkaResult<Queue>> },
    Release(Place),
}

impl Pool {
    fn reserve(self: &Arc<Self>, place: &Place) -> Result<Seat, Error> {
        let mut clients = locked(&self.clients);
        if clients.all.iter().all(|seats| seats.taken.contains(place)) {
            if clients.all.len() >= CLIENTS_MAX {
                return Err(Error::Overloaded);
            }
            let seats = self.start(&mut clients.last_id)?;
            clients.all.push(seats);
        }
        let free = clients.all.iter_mut().find(|seats| !seats.taken.contains(place));
        let seats = free.ok_or(Error::Overloaded)?;
        seats.taken.insert(place.clone());
        let (client, orders) = (seats.id, seats.orders.clone());
        Ok(Seat { pool: Arc::clone(self), client, orders, place: place.clone() })
    }

    /// A new client with a thread of its own.
    fn start(&self, last_id: &mut u64) -> Result<Seats, Error> {
        *last_id += 1;
        let (orders, received) = channel();
        let (config, watch, metrics) =
            (self.config.clone(), self.watch.measured(), Arc::clone(&self.metrics));
        std::thread::Builder::new()
            .name("kafka-reader".to_owned())
            .spawn(move || match config.create_with_context::<_, Client>(watch) {
                Ok(client) => {
                    metrics.reading_clients.inc();
                    serve(&Arc::new(client), &received);
                    metrics.reading_clients.dec();
                }
                // Whoever waits for an answer learns that there is none.
                Err(error) => tracing::error!(%error, "no client that reads can be made"),
            })
            .map_err(unavailable)?;
        Ok(Seats { id: *last_id, orders, taken: HashSet::new() })
    }

    /// Frees a place. A client nobody reads with goes, but for the first.
    fn release(&self, client: u64, place: &Place) {
        let mut clients = locked(&self.clients);
        let Some(index) = clients.all.iter().position(|seats| seats.id == client) else { return };
        let Some(seats) = clients.all.get_mut(index) else { return };
        seats.taken.remove(place);
        if seats.taken.is_empty() && index > 0 {
            clients.all.remove(index);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // The order first: whoever reserves the place next is served after it.
        drop(self.orders.send(Order::Release(self.place.clone())));
        self.pool.release(self.client, &self.place);
    }
}

/// Serves a client until nobody can order any more.
fn serve(client: &Arc<Client>, orders: &Receiver<Order>) {
    loop {
        match orders.recv_timeout(TEND_EVERY) {
            Ok(Order::Assign { place, from, wake, answer }) => {
                // Whoever asked may have gone; its release follows.
                drop(answer.send(assign(client, &place, from, wake)));
            }
            Ok(Order::Release(place)) => {
                if let Err(error) = list(&place, None).and_then(|list| client.incremental_unassign(&list)) {
                    tracing::debug!(%error, "a partition was not given back");
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        for _ in 0..16 {
            drop(client.poll(Duration::ZERO));
        }
    }
}

fn assign(client: &Arc<Client>, at: &Place, from: Offset, wake: Arc<Notify>) -> KafkaResult<Queue> {
    let mut queue = client
        .split_partition_queue(at.0.as_str(), native(at.1))
        .ok_or(rdkafka::error::KafkaError::Canceled)?;
    queue.set_nonempty_callback(move || wake.notify_one());
    client.incremental_assign(&list(at, Some(from))?)?;
    Ok(queue)
}

fn list((topic, partition): &Place, from: Option<Offset>) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    let from = from.map_or(rdkafka::Offset::Invalid, place);
    list.add_partition_offset(topic.as_str(), native(*partition), from)?;
    Ok(list)
}
