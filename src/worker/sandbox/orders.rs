//! What the worker tells the helper (one JSON argument), and how the helper answers (packets on its standard input).

use super::Level;
use rustix::io::IoSlice;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
    SocketType, recvmsg, sendmsg, socketpair,
};
use serde::{Deserialize, Serialize};
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// An answer is a sentence or two; longer ones are cut.
const ANSWER_BYTES: usize = 4096;

/// How the helper shall confine the program.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Orders {
    /// How far the confinement goes.
    pub level: Level,
    /// Who started the helper; if somebody else is its parent by then, the worker is dead.
    pub worker_pid: i32,
    /// The one port the program may connect to.
    pub door_port: u16,
    /// Private writable memory.
    pub memory_bytes: u64,
    /// Processor time of all threads together.
    pub cpu_s: u64,
}

/// What the helper reports.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The program starts now; at level `namespace` the door's listener comes with it. End of file follows if it could be executed.
    Ready {
        /// The Landlock version in force, 0 for none.
        landlock_abi: u32,
    },
    /// The program was not started.
    Failed {
        /// What is missing and how to mend it.
        message: String,
    },
}

/// A connected pair: the worker's end and the helper's.
pub(super) fn wires() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Sends one answer, with a descriptor if there is one.
pub(super) fn send(wire: BorrowedFd<'_>, answer: &Answer, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut text = serde_json::to_vec(answer)?;
    if text.len() > ANSWER_BYTES {
        text = serde_json::to_vec(&Answer::Failed { message: "the sandbox helper failed, and said too much to repeat".to_owned() })?;
    }
    let descriptors: Vec<BorrowedFd<'_>> = descriptor.into_iter().collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        let fits = control.push(SendAncillaryMessage::ScmRights(&descriptors));
        debug_assert!(fits, "the buffer was made for one descriptor");
    }
    sendmsg(wire, &[IoSlice::new(&text)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Waits for one answer and its descriptor; `None` once the other end is closed.
pub(super) fn receive(wire: &OwnedFd) -> io::Result<Option<(Answer, Option<OwnedFd>)>> {
    let mut text = [0; ANSWER_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(wire.as_fd(), &mut [IoSliceMut::new(&mut text)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    if received.bytes == 0 {
        return Ok(None);
    }
    let descriptor = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok(Some((serde_json::from_slice(&text[..received.bytes])?, descriptor)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_listener_travels_with_its_answer_and_the_end_is_seen() {
        let (worker, helper) = wires().expect("a socket pair");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        send(helper.as_fd(), &Answer::Ready { landlock_abi: 7 }, Some(listener.as_fd())).expect("room for one packet");
        drop(helper);

        let (answer, descriptor) = receive(&worker).expect("a packet").expect("an answer");
        assert_eq!(answer, Answer::Ready { landlock_abi: 7 });
        let received = TcpListener::from(descriptor.expect("a descriptor"));
        assert_eq!(received.local_addr().expect("an address"), listener.local_addr().expect("an address"));
        assert!(receive(&worker).expect("end of file").is_none());
    }
}
