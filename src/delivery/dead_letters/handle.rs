//! What the handle to all groups does with dead letters.

use crate::event::{GroupName, Topic};

use super::super::{Delivery, Error};
use super::{
    DeadLetterCounts, DeadLetterId, DeadLetterPage, DeadLetterQuery, Standing, WholeDeadLetter, count, list,
};

impl Delivery {
    /// The dead letters of a group.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`], [`Error::InvalidCursor`], or what the log says.
    pub async fn dead_letters(
        &self,
        group: &GroupName,
        query: DeadLetterQuery,
    ) -> Result<DeadLetterPage, Error> {
        self.known(group)?;
        list::list(&self.shared, group, &query).await
    }

    /// The source topics of a group's dead letters, by name.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`], or what the log says.
    pub fn dead_letter_sources(&self, group: &GroupName) -> Result<Vec<Topic>, Error> {
        self.known(group)?;
        super::sources_of(&self.shared, group)
    }

    /// A dead letter of a group, among those of these source topics.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`], [`Error::UnknownDeadLetter`], or what the log says.
    pub async fn dead_letter(
        &self,
        group: &GroupName,
        sources: &[Topic],
        id: &DeadLetterId,
    ) -> Result<WholeDeadLetter, Error> {
        self.known(group)?;
        super::find(&self.shared, group, sources, id).await
    }

    /// Declares a dead letter unneeded, durably and for all gateways that share the log. Once more changes nothing.
    ///
    /// # Errors
    /// As [`Self::dead_letter`]; [`Error::DeadLetterSettled`] where it is on its way back or done,
    /// [`Error::DeadLettersFull`].
    pub async fn discard_dead_letter(
        &self,
        group: &GroupName,
        sources: &[Topic],
        id: &DeadLetterId,
        by: &str,
    ) -> Result<Standing, Error> {
        self.known(group)?;
        super::discard(&self.shared, group, sources, id, by).await
    }

    /// Adds a note to a dead letter, durably and for all gateways that share the log. The same as its last one, by the
    /// same person, changes nothing.
    ///
    /// # Errors
    /// As [`Self::dead_letter`]; [`Error::InvalidNote`], [`Error::DeadLettersFull`].
    pub async fn annotate_dead_letter(
        &self,
        group: &GroupName,
        sources: &[Topic],
        id: &DeadLetterId,
        by: &str,
        text: &str,
    ) -> Result<Standing, Error> {
        self.known(group)?;
        super::annotate(&self.shared, group, sources, id, by, text).await
    }

    /// Sends a dead letter back to its group alone, also one that is held; durably, and for all gateways that share the
    /// log. How it stands then: `redriven`, or what the group made of it at once.
    ///
    /// # Errors
    /// As [`Self::dead_letter`]; [`Error::DeadLetterSettled`] where it is on its way or done, [`Error::NotRedrivable`],
    /// [`Error::DeadLettersFull`].
    pub async fn redrive_dead_letter(
        &self,
        group: &GroupName,
        sources: &[Topic],
        id: &DeadLetterId,
        by: &str,
    ) -> Result<Standing, Error> {
        self.known(group)?;
        super::redrive(&self.shared, group, sources, id, by).await
    }

    /// How many dead letters there are, of those groups' topics that `is_meant` lets through.
    ///
    /// # Errors
    /// [`Error::InvalidCursor`], or what the log says.
    pub async fn dead_letter_counts(
        &self,
        is_meant: impl Fn(&GroupName, &Topic) -> bool,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<DeadLetterCounts, Error> {
        count::count(&self.shared, is_meant, limit, cursor).await
    }

    /// Whether what became of dead letters is loaded.
    #[must_use]
    pub fn has_dead_letter_states(&self) -> bool {
        self.shared.states.are_loaded()
    }
}
