//! Who the connection is and what it may have, asked at its beginning and again with every change.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::auth::Principal;
use crate::problem::Problem;
use crate::socket::command::Reply;
use crate::socket::identity::Identity;
use crate::socket::machine::{Ending, Identified, Input, Refused};
use crate::socket::source::Source;

use super::Session;

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Session<S> {
    /// A credential was checked: the first one of the connection, or its next.
    pub(super) fn on_identified(&mut self, reply: Option<Reply>, outcome: Result<Arc<Principal>, Refused>) {
        let is_renewed = outcome.is_ok() && self.identity.is_some();
        let outcome = outcome.map(|principal| {
            let now = self.shared.parts.clock.now();
            let expires_in = principal.expires_at().map(|at| {
                Duration::from_millis(u64::try_from(at.millis().saturating_sub(now.millis())).unwrap_or(0))
            });
            let identified = Identified { principal: principal.id().into(), expires_in };
            match &self.identity {
                Some(identity) => identity.renew(principal),
                None => {
                    self.identity = Some(Identity::new(principal, self.shared.parts.authenticator.clone()))
                }
            }
            identified
        });
        self.tell(Input::Identified { reply, outcome });
        if is_renewed {
            self.recheck();
        }
    }

    /// Asks again whether the principal may be here and may have what it has.
    pub(super) fn recheck(&mut self) {
        self.policy.mark_unchanged();
        self.rights = self.rights.wrapping_add(1);
        let Some(identity) = self.identity.clone() else { return };
        if let Err(code) = identity.check_standing() {
            return self.tell(Input::Outcast(code));
        }
        let mut lost = Vec::new();
        for source in &mut self.sources {
            let checked = match source {
                Source::Audience(audience) => {
                    audience.subscription.recheck().map_err(|error| Problem::from(&error))
                }
                Source::Worker(worker) => {
                    let topics = &worker.member.policy().topics;
                    identity.check_group(&worker.group, topics).map_err(|error| Problem::from(&error))
                }
            };
            if let Err(problem) = checked {
                lost.push((source.sub(), problem));
            }
        }
        for (sub, problem) in lost {
            self.let_go(sub, None);
            self.tell(Input::Ended { sub, ending: Ending::Alone(problem) });
        }
    }
}
