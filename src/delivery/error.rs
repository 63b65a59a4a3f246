//! What can go wrong with groups, in words for the caller.

use crate::event::{GroupName, Partition, Topic};
use crate::log;

use super::{DeadLetterId, DeadLetterState, JobId, RedriveState, ReplayState};

/// Why a request to a group failed. Cheap to clone.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No policy of this name, neither in the configuration nor in the log.
    #[error("group '{0}' does not exist; create it with PUT /v1/groups/{0}")]
    UnknownGroup(GroupName),
    /// A group that somebody works for, and that was to be deleted.
    #[error(
        "group '{0}' has members, on this gateway or elsewhere, or had some a moment ago; nothing was deleted, try \
         again when they are gone"
    )]
    HasMembers(GroupName),
    /// The policy names a topic that does not exist.
    #[error("topic '{0}' does not exist")]
    UnknownTopic(Topic),
    /// The member asked for other topics than the policy's.
    #[error("group '{group}' reads other topics; leave `topics` out or give exactly those of its policy")]
    TopicsDiffer {
        /// The group.
        group: GroupName,
    },
    /// A policy that cannot be.
    #[error("{problem}")]
    InvalidPolicy {
        /// Where in the policy, as a JSON pointer; empty for the whole.
        pointer: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A reset that cannot be.
    #[error("{problem}")]
    InvalidReset {
        /// Where in the request, as a JSON pointer.
        pointer: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A word to go on that cannot be.
    #[error("{problem}")]
    InvalidResume {
        /// Where in the request, as a JSON pointer.
        pointer: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// So many records would be given up and not passed yet.
    #[error(
        "{0} records would be given up that the group has not passed yet, 1,000 at most; begin to work for it, and try \
         again when their partitions have gone on"
    )]
    TooManyGivenUp(usize),
    /// Another reset of the group moves its partitions.
    #[error("another reset of the group is under way; try again when `reset` is gone from the group")]
    ResetUnderWay,
    /// Another reset of the group came before this one moved anything.
    #[error("another reset of the group came at the same time")]
    ResetOvertaken,
    /// A partition that another program reads for the group.
    #[error(
        "no gateway has partition {partition} of '{topic}' for group '{group}', which has members: a consumer of \
         another kind reads it, or a rebalance is under way; nothing was moved"
    )]
    NotOurs {
        /// The group.
        group: GroupName,
        /// The partition's topic.
        topic: Topic,
        /// The partition.
        partition: Partition,
    },
    /// A cursor that was not made by this list.
    #[error("the cursor was not made by this list; begin again without one")]
    InvalidCursor,
    /// No such letter, or none any more.
    #[error("there is no dead letter of this id; retention may have removed it")]
    UnknownDeadLetter,
    /// A letter that is past the state it would have to be in.
    #[error("the dead letter is {} and cannot be {wanted}", .state.as_str())]
    DeadLetterSettled {
        /// How it stands.
        state: DeadLetterState,
        /// What it was to be.
        wanted: &'static str,
    },
    /// A letter that can never go back to its group.
    #[error("the dead letter cannot be redriven: {0}")]
    NotRedrivable(&'static str),
    /// A note that cannot be.
    #[error("a note {0}")]
    InvalidNote(String),
    /// No room for what was to be known of a letter.
    #[error("{0}")]
    DeadLettersFull(String),
    /// A letter that was to be sent back and is not there.
    #[error("there is no dead letter '{0}'; retention may have removed it")]
    UnknownDeadLetterOf(DeadLetterId),
    /// No such redrive, or none any more.
    #[error("there is no redrive of this id; of each group the last ones are kept")]
    UnknownRedrive,
    /// A redrive that cannot be.
    #[error("{0}")]
    InvalidRedrive(String),
    /// A group has one redrive at a time.
    #[error("redrive '{0}' of this group is running; wait for it, or cancel it")]
    RedriveRunning(JobId),
    /// A redrive that has ended cannot be cancelled.
    #[error("the redrive is {} and cannot be cancelled", .0.as_str())]
    RedriveEnded(RedriveState),
    /// A replay that cannot be.
    #[error("{problem}")]
    InvalidReplay {
        /// Where in the request, as a JSON pointer.
        pointer: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// No such replay, or none any more.
    #[error("there is no replay of this id; of each group the last ones are kept")]
    UnknownReplay,
    /// A group has one replay at a time.
    #[error("replay '{0}' of this group has not ended; wait for it, or cancel it")]
    ReplayRunning(JobId),
    /// A replay that has ended cannot be cancelled.
    #[error("the replay is {} and cannot be cancelled", .0.as_str())]
    ReplayEnded(ReplayState),
    /// What the log keeps for all gateways is not read yet.
    #[error("the states of dead letters are being loaded; try again")]
    NotLoaded,
    /// The log refused or failed.
    #[error("{0}")]
    Log(#[from] log::Error),
    /// The gateway is going away and takes no new members.
    #[error("the gateway is draining; connect again")]
    Draining,
    /// The membership or the room itself has ended.
    #[error("the group's member has ended")]
    Closed,
}

impl Error {
    pub(super) fn invalid_reset(pointer: &str, problem: impl Into<String>) -> Self {
        Self::InvalidReset { pointer: pointer.to_owned(), problem: problem.into() }
    }

    pub(super) fn invalid_replay(pointer: &str, problem: impl Into<String>) -> Self {
        Self::InvalidReplay { pointer: pointer.to_owned(), problem: problem.into() }
    }

    pub(super) fn invalid_resume(pointer: &str, problem: impl Into<String>) -> Self {
        Self::InvalidResume { pointer: pointer.to_owned(), problem: problem.into() }
    }

    pub(super) fn invalid(pointer: &str, problem: impl Into<String>) -> Self {
        Self::InvalidPolicy { pointer: pointer.to_owned(), problem: problem.into() }
    }
}
