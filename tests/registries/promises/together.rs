//! Clients of one process share what they have opened, and do each other no harm.

use super::{SOON, TTL, at, await_settled, partner};
use plumline::registration::RegistrationState;
use plumline::{Client, Registration};
use plumline_servers::{Server, unique};
use plumline_tests::{ports, stays, until};
use std::collections::BTreeSet;
use std::time::Duration;

pub fn clients_of_one_process_close_independently<S: Server>() {
    let (server, orders, late) = (S::shared(), &*unique("orders"), &*unique("late"));
    let (first, second) = (partner(&server.address()), partner(&server.address()));
    let mine = first.register(at(orders, 1)).unwrap();
    let theirs = second.register(at(orders, 2)).unwrap();
    for plum in [&first, &second] {
        until("each sees both", SOON, || ports(plum, orders) == [1, 2]);
        await_settled(plum);
    }
    first.close();
    assert_eq!((mine.state(), theirs.state()), (RegistrationState::Closed, RegistrationState::Registered));
    until("what the one took back is gone for the other", SOON, || ports(&second, orders) == [2]);
    stays("the other stays registered", TTL + Duration::from_secs(1), || server.listed(orders) == [2]);
    let third = partner(&server.address());
    let _late = third.register(at(late, 3)).unwrap();
    let _more = third.register(at(orders, 4)).unwrap();
    for plum in [&second, &third] {
        until("all are seen", SOON, || ports(plum, orders) == [2, 4] && ports(plum, late) == [3]);
        await_settled(plum);
    }
    second.close();
    until("the last one sees that", SOON, || ports(&third, orders) == [4]);
    third.close();
    until("nothing is left", SOON, || server.listed(orders).is_empty() && server.listed(late).is_empty());
}

pub fn instance_id_survives_move_and_foreign_close<S: Server>() {
    let (server, orders) = (S::shared(), &*unique("orders"));
    let (first, second) = (partner(&server.address()), partner(&server.address()));
    let me = |port: u16| at(orders, port).instance_id("orders-127.0.0.1-1");
    let moving = first.register(me(1)).unwrap();
    until("it is registered", SOON, || server.listed(orders) == [1]);
    moving.update(me(2)).unwrap();
    until("it has moved", SOON, || server.listed(orders) == [2]);
    stays("its old place takes nothing along", TTL, || server.listed(orders) == [2]);
    let other = second.register(me(2).version("v2")).unwrap();
    until("the other is registered", SOON, || other.state() == RegistrationState::Registered);
    moving.close(Duration::ZERO).unwrap();
    let is_there = || {
        server.listed(orders) == [2] && {
            second.discover(orders).unwrap().iter().any(|endpoint| endpoint.version == "v2")
        }
    };
    until("the other's is there within a beat", SOON, is_there);
    stays("and stays", TTL, is_there);
}

pub fn clients_resolve_server_name_independently<S: Server>() {
    let (server, orders) = (S::shared(), &*unique("orders"));
    let address = server.address().replace("127.0.0.1", "localhost");
    let all: Vec<Client> = (0..8).map(|_| partner(&address)).collect();
    std::thread::scope(|scope| {
        let register = |(plum, port): (&Client, u16)| {
            let me = plum.register(at(orders, port)).unwrap();
            me.wait(Duration::from_secs(2)).unwrap();
            me
        };
        let running: Vec<_> = all.iter().zip(1..).map(|one| scope.spawn(move || register(one))).collect();
        let registered: Vec<Registration> = running.into_iter().map(|one| one.join().unwrap()).collect();
        drop(registered);
    });
}

/// However many clients there are, and however many services each of them watches and offers. `above`: how far the port
/// for it lies above the one in the address.
pub fn process_has_one_connection<S: Server>(above: u16) {
    let server = S::start();
    let address = server.address();
    let digits = address.rsplit(':').next().unwrap().split(['/', '?']).next().unwrap();
    let port = digits.parse::<u16>().unwrap() + above;
    let all: Vec<Client> = (0..3).map(|_| partner(&address)).collect();
    let watches: Vec<_> =
        all.iter().flat_map(|plum| (0..20).map(|n| plum.watch(&format!("s{n}")).unwrap())).collect();
    let registered: Vec<Registration> =
        (0..60).map(|n| all[n % 3].register(at(&format!("s{}", n % 20), 1 + n as u16)).unwrap()).collect();
    for plum in &all {
        until("all are seen", SOON, || (0..20).all(|n| ports(plum, &format!("s{n}")).len() == 3));
    }
    assert_eq!(connections_to(port), 1);
    drop((watches, registered));
}

/// How many connections to this port this process has.
fn connections_to(port: u16) -> usize {
    let ours: BTreeSet<String> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let is_ours = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_open = fields[3] == "01";
        is_open && fields[2].ends_with(&format!(":{port:04X}")) && ours.contains(fields[9])
    };
    std::fs::read_to_string("/proc/net/tcp").unwrap().lines().skip(1).filter(is_ours).count()
}
