//! `weirgate groups delete`: asks, and deletes a group that nobody works for.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use anyhow::bail;

use crate::config::Environment;
use crate::event::GroupName;

use super::super::ask::Asker;
use super::super::{credential, output};

/// Delete a group that has no members: its policy, its offsets and its parked keys; its dead letters stay.
#[derive(Debug, clap::Args)]
pub(super) struct Delete {
    /// The group.
    #[arg(value_name = "GROUP", value_parser = GroupName::parse)]
    group: GroupName,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    gateway: credential::Args,
}

impl Delete {
    pub(super) async fn run(&self, environment: &Environment) -> anyhow::Result<ExitCode> {
        let asker = Asker::new(&self.gateway, environment)?;
        if !self.yes && !io::stdin().is_terminal() {
            bail!("nobody is here to be asked; --yes deletes");
        }
        let question = format!("Delete group {}, its offsets and parked keys? [y/N] ", self.group);
        if !self.yes && !super::is_confirmed(&question)? {
            output::print("nothing was deleted\n")?;
            return Ok(ExitCode::SUCCESS);
        }
        asker.delete(&format!("/v1/groups/{}", self.group)).await?;
        output::print(&format!("group {} was deleted\n", self.group))?;
        Ok(ExitCode::SUCCESS)
    }
}
