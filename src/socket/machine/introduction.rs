//! Who the client is: `hello`, the check of its token, the next one, and what it is told when it is known.

use serde_json::json;
use tokio::time::Instant;

use crate::problem::{Code, Problem};
use crate::socket::Config;
use crate::socket::command::{Op, Reply};
use crate::socket::push::millis;

use super::{Action, Identified, Machine, Refused, Stage, accept};

impl Machine {
    /// Whether the first token is being checked: what the client sent behind its `hello` waits for the outcome.
    pub(in crate::socket) fn is_being_introduced(&self) -> bool {
        self.is_identifying && self.stage == Stage::Strange
    }

    pub(super) fn on_hello(
        &mut self,
        reply: Reply,
        token: Option<String>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        match (token, self.stage) {
            (Some(token), _) => self.identify(reply, token, actions),
            (None, Stage::Known) => accept(&reply, self.welcome(now), actions),
            (None, Stage::Strange | Stage::Leaving) => {
                let problem = Problem::new(Code::Unauthenticated, "hello must bring a token");
                self.refuse(&reply, &problem, actions);
            }
        }
    }

    pub(super) fn identify(&mut self, reply: Reply, token: String, actions: &mut Vec<Action>) {
        if self.is_identifying {
            let problem = Problem::new(Code::Conflict, "another token is being checked; wait for its answer");
            return self.refuse(&reply, &problem, actions);
        }
        self.is_identifying = true;
        self.timers.greet();
        actions.push(Action::Identify { reply, token });
    }

    pub(super) fn on_identified(
        &mut self,
        reply: Option<Reply>,
        outcome: Result<Identified, Refused>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        self.is_identifying = false;
        match outcome {
            Ok(Identified { principal, expires_in }) => {
                self.principal = Some(principal);
                self.timers.greet();
                self.timers.expire_in(expires_in, now);
                if self.stage == Stage::Strange {
                    self.stage = Stage::Known;
                }
                match reply {
                    Some(reply) if reply.op == Some(Op::Hello) => accept(&reply, self.welcome(now), actions),
                    Some(reply) => accept(&reply, json!({ "expiresInMs": expires_in.map(millis) }), actions),
                    None => {}
                }
            }
            Err(Refused { problem, close }) => {
                if let Some(reply) = reply {
                    self.refuse(&reply, &problem, actions);
                }
                // A token that is no good costs a connection that has none; one that has another keeps that.
                if self.stage == Stage::Strange {
                    self.close(close, actions);
                }
            }
        }
    }

    fn welcome(&self, now: Instant) -> serde_json::Value {
        let Config { inbound_bytes_max, messages_per_second_max, .. } = self.config;
        let Config { unsent_bytes_max, subscriptions_max, in_flight_max, .. } = self.config;
        let mut welcome = json!({
            "connection": self.connection,
            "node": self.node,
            "principal": self.principal,
            "caps": [],
            "pingMs": millis(self.config.ping),
            "pongMs": millis(self.config.pong),
            "limits": {
                "inboundBytesMax": inbound_bytes_max,
                "messagesPerSecondMax": messages_per_second_max,
                "unsentBytesMax": unsent_bytes_max,
                "subscriptionsMax": subscriptions_max,
                "inFlightMax": in_flight_max,
            },
        });
        if let (Some(members), Some(left)) = (welcome.as_object_mut(), self.timers.expires_in(now)) {
            members.insert("expiresInMs".to_owned(), millis(left).into());
        }
        welcome
    }
}
