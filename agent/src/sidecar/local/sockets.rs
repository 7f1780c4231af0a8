//! The sockets of a process, and the TCP connections among them.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// More descriptors than this are not looked at.
const DESCRIPTORS: usize = 1 << 16;
/// The kernel gives its tables in pieces of whole lines, as large as asked for.
const PIECE: usize = 1 << 16;

/// The sockets that a minion's processes hold, and what was last read of those that are TCP connections.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    /// Inodes, sorted.
    held: Vec<u64>,
    tcp: Vec<Tcp>,
    news: bool,
}

/// A connection that stands, or is being made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tcp {
    inode: u64,
    /// The other end; an IPv4 address is never wrapped in an IPv6 one.
    pub(super) remote: SocketAddr,
    /// Else it waits for the other end to answer.
    pub(super) established: bool,
}

impl Sockets {
    /// Takes what is held now; connections whose sockets were closed are forgotten.
    pub(super) fn are_now(&mut self, mut held: Vec<u64>) {
        held.sort_unstable();
        held.dedup();
        self.news |= held.iter().any(|inode| self.held.binary_search(inode).is_err());
        self.tcp.retain(|tcp| held.binary_search(&tcp.inode).is_ok());
        self.held = held;
    }

    /// Whether there are sockets that tables were not yet read for.
    pub(super) fn has_news(&self) -> bool {
        self.news
    }

    pub(super) fn tcp(&self) -> impl Iterator<Item = &Tcp> {
        self.tcp.iter()
    }

    /// Reads the tables of the network namespace that this process lives in.
    pub(super) fn read_tables(&mut self, process: u32) -> io::Result<()> {
        self.tcp.clear();
        self.read_table(File::open(format!("/proc/{process}/net/tcp"))?)?;
        match File::open(format!("/proc/{process}/net/tcp6")) {
            Ok(table) => self.read_table(table)?,
            // No IPv6 in this kernel.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        self.news = false;
        Ok(())
    }

    fn read_table(&mut self, table: impl io::Read) -> io::Result<()> {
        let mut table = BufReader::with_capacity(PIECE, table);
        let mut line = String::new();
        while table.read_line(&mut line)? > 0 {
            let ours = |tcp: &Tcp| self.held.binary_search(&tcp.inode).is_ok();
            self.tcp.extend(Tcp::parse(&line).filter(ours));
            line.clear();
        }
        Ok(())
    }
}

impl Tcp {
    /// A line of `/proc/net/tcp` or `tcp6`, see proc_net_tcp(5) and `get_tcp4_sock` in the kernel. Nothing for the heading and for
    /// sockets in other states.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let (remote, state) = (fields.nth(2)?, fields.next()?);
        let established = match state {
            "01" => true,
            // SYN_SENT
            "02" => false,
            _ => return None,
        };
        Some(Self {
            remote: address(remote)?,
            inode: fields.nth(9 - 4)?.parse().ok()?,
            established,
        })
    }
}

/// `0100007F:1F90`: 32-bit words in network order, printed as the machine's own numbers; then the port as a number.
fn address(text: &str) -> Option<SocketAddr> {
    let (words, port) = text.split_once(':')?;
    let word = |at: usize| {
        let digits = words.get(at * 8..(at + 1) * 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let ip: IpAddr = match words.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let mut bytes = [0; 16];
            for (at, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(at)?);
            }
            Ipv6Addr::from(bytes).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

/// The inodes of the sockets that a process holds.
pub(super) fn held_by(process: u32) -> io::Result<Vec<u64>> {
    let mut inodes = Vec::new();
    for entry in fs::read_dir(format!("/proc/{process}/fd"))?.take(DESCRIPTORS) {
        match fs::read_link(entry?.path()) {
            Ok(target) => inodes.extend(target.to_str().and_then(inode)),
            // Closed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(inodes)
}

/// `socket:[90101]`
fn inode(target: &str) -> Option<u64> {
    target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
#[cfg(target_endian = "little")]
mod tests {
    use super::*;

    /// Recorded: a listener, both ends of a connection, one that waits for an answer, one that ended.
    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
        0: 0100007F:1199 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 90100 1 0000000000000000 100 0 0 10 0\n   \
        1: 0A00000A:C350 0B00000A:1199 01 00000000:00000000 02:000004A8 00000000     0        0 90101 2 0000000000000000 20 4 30 10 -1\n   \
        2: 0A00000A:C351 0C00000A:1199 02 00000001:00000000 01:00000064 00000002     0        0 90102 2 0000000000000000 400 0 0 1 7\n   \
        3: 0A00000A:C352 0B00000A:119A 06 00000000:00000000 03:000016F8 00000000     0        0 0 3 0000000000000000\n";
    const TCP6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
        0: 0000000000000000FFFF00000A00000A:C353 0000000000000000FFFF00000B00000A:1199 01 00000000:00000000 00:00000000 00000000     0        0 90103 1 0000000000000000 20 4 30 10 -1\n   \
        1: B80D0120000000000000000001000000:C354 B80D0120000000000000000002000000:1199 01 00000000:00000000 00:00000000 00000000     0        0 90104 1 0000000000000000 20 4 30 10 -1\n";

    fn read(table: &str, held: Vec<u64>) -> Vec<(String, bool)> {
        let mut sockets = Sockets::default();
        sockets.are_now(held);
        sockets.read_table(table.as_bytes()).unwrap();
        let told = |tcp: &Tcp| (tcp.remote.to_string(), tcp.established);
        sockets.tcp().map(told).collect()
    }

    #[test]
    fn recorded_tables_are_read() {
        assert_eq!(
            read(TCP, vec![90100, 90101, 90102, 0]),
            [
                ("10.0.0.11:4505".to_owned(), true),
                ("10.0.0.12:4505".to_owned(), false)
            ]
        );
        assert_eq!(
            read(TCP6, vec![90103, 90104]),
            [
                ("10.0.0.11:4505".to_owned(), true),
                ("[2001:db8::2]:4505".to_owned(), true)
            ]
        );
    }

    #[test]
    fn connections_of_others_are_not_ours() {
        assert_eq!(read(TCP, vec![90102]).len(), 1);
        assert_eq!(read(TCP, vec![1]), []);
    }

    #[test]
    fn junk_is_no_connection() {
        for line in [
            "",
            "x",
            "0: 1 2 01",
            "0: 0:0 ä000000:1199 01 a b c d e 7",
            "0: 0:0 0B00000A:1199 01 a b c d e x",
        ] {
            assert_eq!(Tcp::parse(line), None, "{line:?}");
        }
    }

    #[test]
    fn a_new_socket_is_news_and_a_closed_one_is_forgotten() {
        let mut sockets = Sockets::default();
        sockets.are_now(vec![90102, 90101, 90101]);
        assert!(sockets.has_news());
        sockets.read_table(TCP.as_bytes()).unwrap();
        sockets.news = false;
        sockets.are_now(vec![90101]);
        assert!(!sockets.has_news());
        assert_eq!(sockets.tcp().count(), 1);
        sockets.are_now(vec![90105]);
        assert!(sockets.has_news());
        assert_eq!(sockets.tcp().count(), 0);
    }
}
