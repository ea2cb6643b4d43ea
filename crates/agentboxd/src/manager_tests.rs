//! The interface against the table of methods, and what of one caller is bounded.

use super::*;
use crate::session::Record;
use agentbox_ipc::{METHODS, ManagerProxy};
use zbus::connection::Builder;
use zbus::object_server::Interface;

fn introspection() -> String {
    let dir = tempfile::TempDir::new().unwrap();
    let supervisor = Arc::new(Supervisor::in_directory(dir.path()));
    let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let caller = Caller::of(&ours, &supervisor).unwrap();
    let mut xml = String::new();
    Manager::for_peer(supervisor, caller).introspect_to_writer(&mut xml, 0);
    xml
}

pub(crate) fn methods(xml: &str) -> Vec<&str> {
    let mut methods: Vec<_> =
        xml.split("<method name=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    methods.sort_unstable();
    methods
}

#[test]
fn every_method_of_the_interface_has_a_rule() {
    let xml = introspection();
    let methods = methods(&xml);
    let mut rules: Vec<_> = METHODS.iter().map(|(_, name, _, _)| *name).collect();
    rules.sort_unstable();
    assert_eq!(methods, rules);
}

/// Both ends of a conversation with root.
async fn conversation(supervisor: &Arc<Supervisor>) -> (Connection, Connection) {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let manager = Manager::for_peer(Arc::clone(supervisor), Caller::root());
    let server = Builder::unix_stream(ours).server(zbus::Guid::generate()).p2p();
    let server = server.serve_at(agentbox_ipc::PATH, manager).build();
    let (server, client) = tokio::join!(server, Builder::unix_stream(theirs).p2p().build());
    (server.unwrap(), client.unwrap())
}

#[tokio::test]
async fn calls_that_wait_end_with_the_connection_they_came_on() {
    let dir = tempfile::TempDir::new().unwrap();
    let supervisor = Arc::new(Supervisor::in_directory(dir.path()));
    let (session, _live) = Session::with_live(Record::unknown("abc12345".parse().unwrap()));
    supervisor.register(Arc::new(session));
    let (server, client) = conversation(&supervisor).await;
    let peer = ManagerProxy::new(&client).await.unwrap();
    let (refusals, mut refused) = tokio::sync::mpsc::unbounded_channel();
    let waiting: Vec<_> = (0..150)
        .map(|_| {
            let (peer, refusals) = (peer.clone(), refusals.clone());
            tokio::spawn(async move { refusals.send(peer.notices("abc12345", 1 << 40).await.unwrap_err()) })
        })
        .collect();
    // As many as are above what may wait; the others get no answer.
    for _ in 0..150 - 128 {
        let error = refused.recv().await.unwrap();
        assert!(matches!(&error, Error::Refused(text) if text.contains("wait already")), "{error:?}");
    }
    assert!(supervisor.calls.wait(0).is_err() && supervisor.calls.wait(1).is_ok());
    assert_eq!(peer.list().await.unwrap().len(), 1, "who waits keeps nobody from asking");
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    drop((peer, client));
    let all_ended = async {
        while supervisor.calls.wait(0).is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all_ended).await.expect("they wait for nobody");
    drop(server);
}

#[tokio::test]
async fn a_call_above_those_that_a_user_may_have_in_hand_is_refused_in_words() {
    let dir = tempfile::TempDir::new().unwrap();
    let supervisor = Arc::new(Supervisor::in_directory(dir.path()));
    let (_server, client) = conversation(&supervisor).await;
    let peer = ManagerProxy::new(&client).await.unwrap();
    let mut held: Vec<_> = std::iter::from_fn(|| supervisor.calls.begin(0).ok()).collect();
    let error = peer.diagnose().await.unwrap_err();
    assert!(matches!(&error, Error::Refused(text) if text.contains("in hand already")), "{error:?}");
    held.pop();
    assert!(peer.list().await.is_ok());
    // And gives its place back.
    assert!(peer.list().await.is_ok());
}

#[test]
fn the_interface_is_the_one_that_is_published() {
    assert_eq!(introspection().trim(), include_str!("../../agentbox-ipc/interface.xml").trim());
}
