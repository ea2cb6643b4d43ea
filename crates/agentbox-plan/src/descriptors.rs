//! Which descriptor number holds what when the launcher starts.
//!
//! 0, 1 and 2 are `/dev/null`; what the launcher has to say goes to [`REPORT`]. Every other
//! descriptor is closed before it is executed.

/// Sealed memfd with the encoded [`Plan`](crate::Plan).
pub const PLAN: i32 = 3;
/// Listening `SOCK_STREAM` socket on which the supervisor connects: see [`console`](crate::console).
pub const CONSOLE: i32 = 4;
/// Read end of a pipe. One byte releases the launcher; its end without a byte ends it.
pub const RELEASE: i32 = 5;
/// `SOCK_SEQPACKET` socket for [`Report`](crate::report::Report) messages to the supervisor.
pub const REPORT: i32 = 6;
/// Directory of the control group (version 2) that the session's processes go into.
pub const PAYLOAD: i32 = 7;
/// The network namespace of the session (`/proc/PID/ns/net`), when the plan says
/// [`Prepared`](crate::NetworkNamespace::Prepared); else `/dev/null`.
pub const NETWORK: i32 = 8;
/// First of the sources that [`SourceIndex`](crate::SourceIndex) counts from. Directories and files
/// opened with `O_PATH` by the supervisor itself or checked by it.
pub const FIRST_SOURCE: i32 = 9;
