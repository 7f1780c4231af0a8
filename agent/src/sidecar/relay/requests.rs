//! The port for requests: each client's connection, what it asks, and what it is answered.
//!
//! A REQ has one request under way; when it asks anew, it has given the first one up. A DEALER may have several.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use proto::net::{Channel, NetError};
use proto::zmtp::{Event, Message, SocketType};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout};

use super::budget::{Budget, Share};
use super::carrier::{Carrier, Reply};
use super::counts::Present;
use super::listener::Ended;
use super::seats::Seat;
use super::upstream::twice;

/// Requests of all clients, held or under way.
const PLACES: usize = 1024;
/// Requests of one client.
const OF_ONE_CLIENT: usize = 64;
/// How long a request may live. Clients of Salt's give up long before.
const LIFE: Duration = Duration::from_secs(15 * 60);
/// The longest envelope. A REQ has an empty one, and what names a client between two sockets has some bytes; it is kept until the
/// reply is with the client.
const ENVELOPE: usize = 1024;
/// Longer than anybody waits.
const FAR: Duration = Duration::from_secs(3600);

/// What the connections of all clients share.
#[derive(Debug)]
pub(super) struct Clients {
    carrier: Carrier,
    places: Arc<Semaphore>,
    budget: Arc<Budget>,
    transfer: Duration,
}

impl Clients {
    /// `budget` is that of requests; `transfer` is how long one message may take to arrive or to leave.
    pub(super) fn new(carrier: Carrier, budget: Arc<Budget>, transfer: Duration) -> Self {
        Self {
            carrier,
            places: Arc::new(Semaphore::new(PLACES)),
            budget,
            transfer,
        }
    }

    /// Serves one client until its connection ends.
    pub(super) async fn converse(self: Arc<Self>, channel: Channel, seat: Arc<Seat>) -> Ended {
        let mut client = Client {
            is_req: channel
                .peer()
                .is_some_and(|peer| peer.socket_type == SocketType::Req),
            arriving: self.budget.share(),
            leaving: None,
            arrival: None,
            departure: None,
            next: None,
            answers: JoinSet::new(),
            clients: Arc::clone(&self),
            channel,
            seat,
        };
        let ended = match client.serve().await {
            Ok(never) => match never {},
            Err(ended) => ended,
        };
        client.cancel();
        ended
    }
}

/// One client.
struct Client {
    clients: Arc<Clients>,
    channel: Channel,
    seat: Arc<Seat>,
    is_req: bool,
    /// For the message that arrives.
    arriving: Share,
    /// Of the reply that leaves, and of its envelope.
    leaving: Option<(Share, Share, Present)>,
    /// How long the message that arrives may still take; the time in which there is no room for it does not count.
    arrival: Option<Duration>,
    /// The same of what leaves.
    departure: Option<Duration>,
    /// What has arrived and has no place yet.
    next: Option<Request>,
    answers: JoinSet<Option<Answer>>,
}

struct Request {
    /// The frames up to the empty one.
    envelope: Vec<Vec<u8>>,
    /// As it goes to a master.
    message: Message,
    share: Share,
}

struct Answer {
    envelope: Vec<Vec<u8>>,
    reply: Reply,
    /// Of the envelope.
    share: Share,
}

impl Client {
    async fn serve(&mut self) -> Result<Infallible, Ended> {
        loop {
            let has_written = self.channel.unsent() == 0;
            if has_written {
                self.leaving = None;
                self.departure = None;
            }
            let is_covered = self.arriving.is_covered();
            let reads = is_covered && self.next.is_none() && self.answers.len() < OF_ONE_CLIENT;
            let is_arriving = self.channel.unheard() > 0;
            if !is_arriving {
                self.arrival = None;
            }
            let patience = self.patience(reads && is_arriving, !has_written)?;
            self.seat
                .is_busy(is_arriving || !has_written || self.next.is_some() || !self.answers.is_empty());
            let began = Instant::now();
            tokio::select! {
                Some(answer) = self.answers.join_next(), if has_written => self.answer(answer)?,
                turn = self.channel.turn(reads, began + patience), if reads || !has_written => match turn? {
                    Some(Event::Message(message)) => self.take(message),
                    Some(_) => {}
                    None => self.arriving.want(twice(self.channel.unheard())),
                },
                Ok(place) = Arc::clone(&self.clients.places).acquire_owned(), if self.next.is_some() => self.start(place),
                () = self.arriving.covered(), if !is_covered => {}
                // There is always one of them to wait for.
                else => tokio::task::yield_now().await,
            }
            let took = began.elapsed();
            if reads && is_arriving {
                self.arrival = self.arrival.map(|left| left.saturating_sub(took));
            }
            self.departure = self.departure.map(|left| left.saturating_sub(took));
        }
    }

    /// How long to wait for the socket at most.
    fn patience(&mut self, arrives: bool, leaves: bool) -> Result<Duration, Ended> {
        let transfer = self.clients.transfer;
        let mut patience = FAR;
        if arrives {
            patience = patience.min(*self.arrival.get_or_insert(transfer));
        }
        if leaves {
            patience = patience.min(*self.departure.get_or_insert(transfer));
        }
        if patience.is_zero() {
            return Err(Ended::Stalled(transfer));
        }
        Ok(patience)
    }

    /// A message is complete.
    fn take(&mut self, message: Message) {
        self.arrival = None;
        let share = self.arriving.split();
        self.arriving.want(twice(self.channel.unheard()));
        let Some((envelope, payload)) = open(message) else {
            self.clients.carrier.counts().malformed.one();
            tracing::debug!(client = self.channel.name(), "not a request");
            return;
        };
        if self.is_req {
            self.cancel();
        }
        self.clients.carrier.counts().bytes_up.add(payload.len());
        self.next = Some(Request {
            envelope,
            message: Message::delimited(payload),
            share,
        });
        if let Ok(place) = Arc::clone(&self.clients.places).try_acquire_owned() {
            self.start(place);
        }
    }

    fn start(&mut self, place: OwnedSemaphorePermit) {
        let Some(request) = self.next.take() else { return };
        let clients = Arc::clone(&self.clients);
        self.answers.spawn(async move {
            let _held = place;
            let Request {
                envelope,
                message,
                mut share,
            } = request;
            let reply = timeout(LIFE, clients.carrier.carry(&message)).await;
            drop(message);
            // The answer may wait here for long, if its client does not read.
            share.want(size(&envelope));
            reply.ok().map(|reply| Answer {
                envelope,
                reply,
                share,
            })
        });
    }

    fn answer(&mut self, answer: Result<Option<Answer>, JoinError>) -> Result<(), NetError> {
        let counts = self.clients.carrier.counts();
        let Answer {
            envelope,
            reply,
            share,
        } = match answer {
            Ok(Some(answer)) => answer,
            Ok(None) => {
                counts.expired.one();
                return Ok(());
            }
            Err(error) => {
                tracing::error!(%error, "a task that carries a request has failed");
                return Ok(());
            }
        };
        counts.one_answered();
        counts.bytes_down.add(reply.payload.len());
        let mut frames = envelope;
        frames.push(reply.payload);
        if let Ok(message) = Message::from_frames(frames) {
            self.channel.queue_owned(message)?;
            self.leaving = Some((reply.share, share, reply.leaving));
        }
        Ok(())
    }

    /// Gives up what the client no longer waits for.
    fn cancel(&mut self) {
        let cancelled = self
            .answers
            .len()
            .saturating_add(usize::from(self.next.is_some()));
        self.clients.carrier.counts().cancelled.add(cancelled);
        self.answers = JoinSet::new();
        self.next = None;
    }
}

/// The envelope and the payload of a request.
fn open(message: Message) -> Option<(Vec<Vec<u8>>, Vec<u8>)> {
    let mut frames = message.into_frames();
    let payload = frames.pop()?;
    let delimiter = frames.iter().position(Vec::is_empty)?;
    let is_request = delimiter.saturating_add(1) == frames.len() && size(&frames) <= ENVELOPE;
    is_request.then_some((frames, payload))
}

fn size(envelope: &[Vec<u8>]) -> usize {
    let lengths = envelope.iter().map(Vec::len);
    lengths.fold(0, usize::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(frames: &[&[u8]]) -> Option<(Vec<Vec<u8>>, Vec<u8>)> {
        let frames = frames.iter().map(|frame| frame.to_vec()).collect();
        open(Message::from_frames(frames).unwrap())
    }

    #[test]
    fn the_envelope_ends_with_the_first_empty_frame_and_one_more_follows() {
        let (envelope, payload) = opened(&[b"", b"x"]).unwrap();
        assert_eq!((envelope, payload), (vec![vec![]], b"x".to_vec()));
        let (envelope, payload) = opened(&[b"a", b"b", b"", b""]).unwrap();
        assert_eq!(
            (envelope, payload),
            (vec![b"a".to_vec(), b"b".to_vec(), vec![]], vec![])
        );
        for frames in [
            [b"x".as_slice()].as_slice(),
            &[b""],
            &[b"a", b"x"],
            &[b"a", b""],
            &[b"", b"x", b"y"],
            &[b"", b"", b"x"],
        ] {
            assert_eq!(opened(frames), None, "{frames:?}");
        }
    }

    #[test]
    fn a_long_envelope_is_that_of_no_request() {
        let name = [7; ENVELOPE];
        assert!(opened(&[&name, b"", b"x"]).is_some());
        assert_eq!(opened(&[&name, b"7", b"", b"x"]), None);
        assert_eq!(opened(&[&[7; ENVELOPE + 1], b"", b"x"]), None);
    }
}
