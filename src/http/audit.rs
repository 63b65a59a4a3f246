//! Acts that must be told with who did them: payloads that were seen, letters that were settled, offsets that were moved.
//!
//! Each is a line of the log under the target `weirgate::audit`. It never holds what was seen or written.

use crate::auth::Principal;
use crate::delivery::{DeadLetterId, RedriveId};
use crate::event::GroupName;

use super::call::Call;

/// What somebody did with a dead letter, or with many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// Saw its event.
    SeePayload,
    /// Wrote a note to it.
    Annotate,
    /// Declared it unneeded.
    Discard,
    /// Sent it back to its group.
    SendBack,
    /// Began to send many back.
    Redrive,
    /// Ended that.
    CancelRedrive,
}

impl Act {
    const fn as_str(self) -> &'static str {
        match self {
            Self::SeePayload => "dead_letter.payload",
            Self::Annotate => "dead_letter.annotate",
            Self::Discard => "dead_letter.discard",
            Self::SendBack => "dead_letter.redrive",
            Self::Redrive => "redrive.begin",
            Self::CancelRedrive => "redrive.cancel",
        }
    }
}

/// Tells that somebody moves a group's offsets; told before it is done, whatever comes of it.
pub(super) fn reset(call: &Call, principal: &Principal, group: &GroupName) {
    tracing::info!(
        target: "weirgate::audit",
        act = "group.reset",
        principal = principal.id(),
        request.id = call.id(),
        %group,
        "a group's offsets are reset"
    );
}

/// Tells of an act on a dead letter.
pub(super) fn dead_letter(
    call: &Call,
    principal: &Principal,
    act: Act,
    group: &GroupName,
    id: &DeadLetterId,
) {
    tracing::info!(
        target: "weirgate::audit",
        act = act.as_str(),
        principal = principal.id(),
        request.id = call.id(),
        %group,
        dead_letter.id = %id,
        "an act on a dead letter"
    );
}

/// Tells of an act on many dead letters.
pub(super) fn redrive(call: &Call, principal: &Principal, act: Act, id: &RedriveId) {
    tracing::info!(
        target: "weirgate::audit",
        act = act.as_str(),
        principal = principal.id(),
        request.id = call.id(),
        group = %id.group(),
        redrive.id = %id,
        "an act on a redrive"
    );
}
