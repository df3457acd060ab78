//! Listening sockets: bound here or passed by systemd, and how one process hands its clients to the next.
//!
//! Not here: accepting (`listen`). A socket is bound long before it listens: an address in use is found at once, and no
//! connection waits for a process that may yet fail to start.
//!
//! With `sockets.reuse_port` the old and the new version listen on one address, and the kernel spreads connections over
//! both. Closing the old socket alone would lose those whose handshake is under way or that wait to be accepted, so the
//! old one first directs new connections past itself (`SO_ATTACH_REUSEPORT_CBPF`) and accepts what is left.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use listenfd::ListenFd;
use nix::libc::{BPF_K, BPF_RET, sock_filter, sock_fprog};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::AttachReusePortCbpf;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use crate::config::Sockets;

/// Probes a silent peer, so that a vanished one does not hold a connection for ever.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// No socket of a group has this index: the kernel spreads by the hash of the addresses.
const SPREAD: u32 = u32::MAX;

/// Listening sockets that another process (systemd) made and passed.
#[derive(Debug, Default)]
pub struct Inherited(Vec<std::net::TcpListener>);

impl Inherited {
    /// Takes what `LISTEN_FDS` names. Changes the environment: call it before there are other threads.
    ///
    /// # Errors
    /// When something else than a TCP socket was passed.
    pub fn from_environment() -> io::Result<Self> {
        let mut passed = ListenFd::from_env();
        let mut listeners = Vec::new();
        for index in 0..passed.len() {
            listeners.extend(passed.take_tcp_listener(index)?);
        }
        Ok(Self(listeners))
    }

    /// The socket that listens on `address`.
    fn take(&mut self, address: SocketAddr) -> Option<std::net::TcpListener> {
        let is_it = |listener: &std::net::TcpListener| {
            listener.local_addr().is_ok_and(|local| local == address)
        };
        let at = self.0.iter().position(is_it)?;
        Some(self.0.swap_remove(at))
    }

    /// Addresses of those that nobody has taken.
    pub fn left(&self) -> Vec<SocketAddr> {
        let address = |listener: &std::net::TcpListener| listener.local_addr().ok();
        self.0.iter().filter_map(address).collect()
    }
}

/// The sockets of one address, before they listen.
#[derive(Debug)]
pub struct Bound {
    sockets: Vec<Socket>,
    succession: Succession,
    backlog: i32,
}

/// Who has the connections that come after this process has stopped accepting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Succession {
    /// Nobody.
    None,
    /// Another process that listens on the same address, where we have this many sockets.
    SamePort(u32),
    /// Whoever gets the socket next: they wait in it.
    SameSocket,
}

/// Takes or binds the socket of an address, or as many as `count` says.
///
/// # Errors
/// When the address is in use or not ours; the caller names it in the message.
pub fn bind(
    address: SocketAddr,
    settings: Sockets,
    count: usize,
    inherited: &mut Inherited,
) -> io::Result<Bound> {
    let backlog = i32::try_from(settings.backlog).unwrap_or(i32::MAX);
    if let Some(listener) = inherited.take(address) {
        // One socket for all: each worker accepts from it.
        let sockets = (0..count).map(|_| listener.try_clone().map(Socket::from));
        return Ok(Bound {
            sockets: sockets.collect::<io::Result<_>>()?,
            succession: Succession::SameSocket,
            backlog,
        });
    }
    let shared = settings.reuse_port || count > 1;
    let mut sockets = vec![bind_one(address, shared)?];
    // With port 0 the others follow the first.
    let address = local(sockets.first())?;
    for _ in 1..count {
        sockets.push(bind_one(address, shared)?);
    }
    let own = u32::try_from(count).unwrap_or(u32::MAX);
    Ok(Bound {
        sockets,
        succession: if settings.reuse_port {
            Succession::SamePort(own)
        } else {
            Succession::None
        },
        backlog,
    })
}

fn local(socket: Option<&Socket>) -> io::Result<SocketAddr> {
    let local = socket.map(Socket::local_addr).transpose()?;
    local
        .and_then(|address| address.as_socket())
        .ok_or_else(|| io::Error::other("the socket has no address"))
}

fn bind_one(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for connections of the last run to expire. On Linux this does not let two processes
    // share a port.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

impl Bound {
    /// The address, with the port that was found for port 0.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        local(self.sockets.first())
    }

    /// Begins to listen. From here on clients may come, so be ready.
    ///
    /// # Errors
    /// When another process listens there since the address was bound.
    pub fn listen(self) -> io::Result<Vec<Listening>> {
        let mut listening = Vec::with_capacity(self.sockets.len());
        for socket in self.sockets {
            socket.set_nonblocking(true)?;
            // Accepted sockets inherit it.
            socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE))?;
            if self.succession != Succession::SameSocket {
                socket.listen(self.backlog)?;
            }
            if matches!(self.succession, Succession::SamePort(_)) {
                // The group may still have the direction that an earlier version left by.
                direct(&socket, SPREAD);
            }
            listening.push(Listening {
                listener: socket.into(),
                succession: self.succession,
            });
        }
        Ok(listening)
    }
}

/// A socket that listens.
#[derive(Debug)]
pub struct Listening {
    listener: std::net::TcpListener,
    succession: Succession,
}

/// What to do about connections that come while the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Farewell {
    /// Accept those that wait, then close.
    EmptyQueue,
    /// The next ones go to another process; accept those that are under way, then close.
    Settle,
    /// They wait in the socket for the next process.
    Leave,
}

impl Listening {
    /// Hands the socket to the tokio runtime that this is called on.
    ///
    /// # Errors
    /// Outside a runtime, or without a descriptor for it.
    pub fn into_tokio(self) -> io::Result<tokio::net::TcpListener> {
        tokio::net::TcpListener::from_std(self.listener)
    }

    /// What its end will take.
    pub(super) fn succession(&self) -> Succession {
        self.succession
    }
}

impl Succession {
    /// Begins the farewell of a socket.
    pub(super) fn step_back(self, socket: &impl AsFd) -> Farewell {
        match self {
            Self::None => Farewell::EmptyQueue,
            Self::SameSocket => Farewell::Leave,
            Self::SamePort(own) => {
                // Sockets are numbered in the order in which they began to listen, so the first of another process
                // comes after ours. If there is none, the kernel goes on spreading over ours.
                direct(socket, own);
                Farewell::Settle
            }
        }
    }
}

/// Directs connections of the whole group to its `index`th socket.
fn direct(socket: &impl AsFd, index: u32) {
    let mut program = [sock_filter {
        // Both are small constants of the same instruction.
        code: (BPF_RET | BPF_K) as u16,
        jt: 0,
        jf: 0,
        k: index,
    }];
    let program = sock_fprog {
        len: 1,
        filter: program.as_mut_ptr(),
    };
    if let Err(error) = setsockopt(socket, AttachReusePortCbpf, &program) {
        tracing::debug!(%error, "the kernel spreads connections as it likes");
    }
}
