//! Starts one program in the sandbox: the worker's side of what [`super::helper`] does.

use super::orders::{self, Answer, Orders};
use super::{HELPER, Level, Process, Sandbox, unavailable};
use crate::domain::Result;
use crate::worker::door;
use crate::worker::ffmpeg::Limits;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The helper needs milliseconds; on a host that swaps, seconds.
const START_TIME: Duration = Duration::from_secs(30);
/// The door's port inside the sandbox, where nobody else listens: addresses need not name it.
const HTTP_PORT: u16 = 80;

/// A program that runs, and the listener it will knock at.
pub(in crate::worker) struct Launched {
    /// The program.
    pub process: Process,
    /// The door to be served.
    pub listener: TcpListener,
    /// What every path of the door starts with: empty, or `/` and a secret.
    pub prefix: String,
    /// The Landlock version in force.
    pub landlock_abi: u32,
}

/// Where the door is, as the program sees it.
struct Place {
    own_listener: Option<TcpListener>,
    port: u16,
    prefix: String,
}

impl Sandbox {
    /// Starts `program` with `args`, in which addresses of the door are made to fit the level.
    pub(in crate::worker) async fn launch(&self, program: &Path, args: &[String], limits: &Limits) -> Result<Launched> {
        let place = self.place().map_err(|error| unavailable("cannot open a door for ffmpeg on 127.0.0.1").with_source(error))?;
        let cannot = |error: io::Error| unavailable("cannot start the sandbox helper").with_source(error);
        let (wire, helpers_end) = orders::wires().map_err(cannot)?;
        let orders = self.orders(place.port, limits).map_err(cannot)?;
        let process = self.house.spawner.spawn(self.command(&orders, program, args, &place, helpers_end)).await.map_err(cannot)?;
        let (listener, landlock_abi) = handshake(wire).await?;
        let listener = place.own_listener.or(listener).ok_or_else(|| unavailable("the sandbox helper sent no listener"))?;
        Ok(Launched { process, listener, prefix: place.prefix, landlock_abi })
    }

    fn place(&self) -> io::Result<Place> {
        match self.house.level {
            Level::Namespace => Ok(Place { own_listener: None, port: HTTP_PORT, prefix: String::new() }),
            Level::Off => {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
                let port = listener.local_addr()?.port();
                Ok(Place { own_listener: Some(listener), port, prefix: format!("/{}", hex::encode(rand::random::<[u8; 16]>())) })
            }
        }
    }

    fn orders(&self, door_port: u16, limits: &Limits) -> io::Result<String> {
        let orders = Orders {
            level: self.house.level,
            worker_pid: rustix::process::getpid().as_raw_pid(),
            door_port,
            memory_bytes: limits.memory_bytes,
            cpu_s: limits.cpu_s,
        };
        Ok(serde_json::to_string(&orders)?)
    }

    fn command(&self, orders: &str, program: &Path, args: &[String], place: &Place, wire: OwnedFd) -> Command {
        let mut command = Command::new(&self.house.helper);
        command.arg(HELPER).arg(orders).arg(program);
        match self.house.level {
            Level::Namespace => command.args(args),
            Level::Off => {
                let here = format!("http://{}:{}{}/", Ipv4Addr::LOCALHOST, place.port, place.prefix);
                command.args(args.iter().map(|arg| arg.replace(door::BASE_URL, &here)))
            }
        };
        command.env_clear().current_dir("/").process_group(0);
        command.stdin(wire).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// Waits until the program was executed. Gives the listener, if one came, and the Landlock version.
async fn handshake(wire: OwnedFd) -> Result<(Option<TcpListener>, u32)> {
    let told = tokio::task::spawn_blocking(move || {
        rustix::net::sockopt::set_socket_timeout(&wire, rustix::net::sockopt::Timeout::Recv, Some(START_TIME))?;
        let first = orders::receive(&wire)?;
        let second = if matches!(first, Some((Answer::Ready { .. }, _))) { orders::receive(&wire)? } else { None };
        Ok::<_, io::Error>((first, second))
    });
    let ended = |error: io::Error| unavailable("the sandbox helper does not answer").with_source(error);
    match told.await.map_err(io::Error::other).and_then(|told| told).map_err(ended)? {
        (Some((Answer::Ready { landlock_abi }, listener)), None) => Ok((listener.map(TcpListener::from), landlock_abi)),
        (_, Some((Answer::Failed { message }, _))) | (Some((Answer::Failed { message }, _)), _) => Err(unavailable(message)),
        _ => Err(unavailable("the sandbox helper ended without a word; is theatrum's own binary still in place?")),
    }
}
