//! Listeners on the loopback address.

use std::net::{Ipv4Addr, TcpListener};

use super::{DevError, DevResult};

/// Creates a listener on the loopback address: on the port `wanted`, or on a free one if that is in
/// use.
pub(super) fn listen(wanted: u16) -> DevResult<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, wanted))
        .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .map_err(DevError::io("no free port on the loopback address"))
}
