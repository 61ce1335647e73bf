//! Events of short-lived commands, through the kernel ring buffer: one queue, one writer, one set of books.

use std::os::fd::AsFd;

use aegis_event::Event;
use aegis_probes::abi::{self, NoteRecord};
use zerocopy::FromZeros;

use super::lock::Lock;
use super::state::pin;
use super::{KernelError, sys};

/// What program `note` returns (`probes/bpf/note.bpf.h`).
const SENT: u32 = 0;
const LOST: u32 = 1;

/// Sends an event to the agent, by way of the kernel ring buffer. It waits there when no agent runs.
pub(crate) fn send_note(event: &Event<'_>) -> Result<(), KernelError> {
    let mut note = NoteRecord::new_zeroed();
    let length = event.encode(&mut note.note).map_err(|_| KernelError::NoteInvalid)?;
    note.note_length = u32::try_from(length).map_err(|_| KernelError::NoteInvalid)?;

    let _lock = Lock::inbox()?;
    let inbox = sys::Map::<u32, NoteRecord>::open(&pin("inbox")).map_err(KernelError::NotLoaded)?;
    let name = format!("prog_{}", aegis_probes::NOTE_PROGRAM);
    let program = sys::obj_get(&pin(&name)).map_err(KernelError::object(&name))?;
    inbox.set(&0, &note).map_err(KernelError::object("inbox"))?;
    match sys::prog_test_run(program.as_fd()).map_err(KernelError::object(&name))? {
        SENT => Ok(()),
        LOST => Err(KernelError::NoteLost),
        _ => Err(KernelError::NoteInvalid),
    }
}

const _: () = assert!(abi::NOTE_MAX <= aegis_event::limits::EVENT_BYTES);
