//! Whose a job is. What a gateway brings counts only while the table says that the job is its own.

/// The gateway that works on a job, by its life, and its signs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(in crate::delivery) struct Custody {
    /// The life of the gateway that works on it.
    owner: Option<Box<str>>,
    /// Grows with every sign of its owner.
    beat: u64,
}

/// The table says that this gateway no longer works on the job: it ended, or somebody else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::delivery) struct Lost;

impl Custody {
    /// Of the gateway of this life.
    pub(in crate::delivery) fn of(life: &str) -> Self {
        Self { owner: Some(life.into()), beat: 0 }
    }

    /// Nobody's.
    pub(in crate::delivery) const fn nobody() -> Self {
        Self { owner: None, beat: 0 }
    }

    /// A gateway takes the job.
    pub(in crate::delivery) fn take(&mut self, life: &str) {
        self.owner = Some(life.into());
        self.beat += 1;
    }

    /// Its owner gives a sign.
    pub(in crate::delivery) fn sign(&mut self, life: &str) -> Result<(), Lost> {
        if !self.is_of(life) {
            return Err(Lost);
        }
        self.beat += 1;
        Ok(())
    }

    /// Its owner leaves it to whoever wants it.
    pub(in crate::delivery) fn release(&mut self, life: &str) -> Result<(), Lost> {
        self.sign(life)?;
        self.owner = None;
        Ok(())
    }

    /// The last sign of its owner.
    pub(in crate::delivery) const fn beat(&self) -> u64 {
        self.beat
    }

    /// Whether anybody works on it.
    pub(in crate::delivery) const fn is_owned(&self) -> bool {
        self.owner.is_some()
    }

    /// Whether the gateway of this life works on it.
    pub(in crate::delivery) fn is_of(&self, life: &str) -> bool {
        self.owner.as_deref() == Some(life)
    }
}
