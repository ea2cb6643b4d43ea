//! Names that resolve to anything, time after time, under rules that change: what the supervisor is asked for.

use super::*;
use agentbox_plan::net::{Translator, Translators, internal_range};
use proptest::prelude::*;
use std::collections::VecDeque;

/// One name, that has other addresses each time.
#[derive(Debug, Clone)]
struct Rebinding(Rc<RefCell<VecDeque<Vec<IpAddr>>>>);

impl Directory for Rebinding {
    type Hold = ();
    fn destination_of(&self, _address: IpAddr) -> Option<Destination> {
        Some(Destination::Name { name: "a.org".parse().unwrap() })
    }
    fn hold(&self, _address: IpAddr) {}
    async fn addresses(&self, _name: &HostName) -> Result<Rc<[IpAddr]>, Reason> {
        self.0.borrow_mut().pop_front().map(Into::into).ok_or(Reason::NotFound)
    }
    async fn translation(&self) -> Result<(), Reason> {
        Ok(())
    }
}

fn any_address() -> impl Strategy<Value = IpAddr> {
    const KNOWN: &[&str] = &[
        "10.0.0.1",
        "::ffff:10.0.0.1",
        "127.0.0.1",
        "::1",
        "169.254.169.254",
        "100.100.100.100",
        "192.168.1.1",
        "64:ff9b::7f00:1",
        "fd00::1",
        "2002:7f00:1::1",
        "2a0e:b107:64::a00:1",
        "2a0e:b107:64::808:808",
        "2a0f:0:a00:1::",
        "2a0f:0:808:808::",
        "8.8.8.8",
        "2a00::1",
    ];
    let known = proptest::sample::select(KNOWN).prop_map(|text| text.parse().unwrap());
    prop_oneof![3 => known, 1 => any::<IpAddr>()]
}

/// What resolvers say of the network.
const TRANSLATORS: [&str; 2] = ["2a0e:b107:64::192.0.0.170", "2a0f:0:c000:aa::"];

fn translators() -> impl Iterator<Item = Translator> {
    TRANSLATORS.iter().flat_map(|shown| Translator::shown_by(shown.parse().unwrap()))
}

/// Connects once for each answer, with rules of each kind in turn. Gives what the supervisor was asked for.
fn asked_for(answers: Vec<Vec<IpAddr>>) -> Vec<IpAddr> {
    let dialled = Rc::new(RefCell::new(Vec::new()));
    let out = Rc::clone(&dialled);
    run(async move {
        let public = Rules { mode: Mode::Public, rules: vec![] };
        let rules = [public, allow(&["a.org:22"]), allow(&["a.org:22", "0.0.0.0/0:22", "::/0"])];
        let rig = Rig::new(rules[0].clone(), Places::new()).await;
        rig.link.translates(translators());
        let shared = Shared {
            session: "abc".parse().unwrap(),
            link: rig.link.clone(),
            directory: Rebinding(Rc::new(RefCell::new(answers.clone().into()))),
            flows: Flows::new(rig.link.clone(), Rc::new(RefCell::new(Budget::new(&rig.limits, &[], 0)))),
            pipes: Rc::clone(&rig.pipes),
            places: super::super::Places::new(&rig.limits, u64::MAX),
            patience: rig.patience,
            heard: Heard::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let original = "198.18.0.9:22".parse().unwrap();
        Relay(Rc::new(shared)).serve_as(listener.into(), move |_| Ok(original)).unwrap();
        for number in 0..answers.len() {
            rig.change(rules[number % rules.len()].clone());
            let _ = done(thread(move || say(address, b"x"))).await;
        }
        out.borrow_mut().extend(&rig.seen.borrow().dialled);
    });
    dialled.take()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_sequence_of_answers_has_an_internal_address_asked_for(
        answers in proptest::collection::vec(proptest::collection::vec(any_address(), 0..5), 1..8),
    ) {
        let mut behind = Translators::none();
        translators().for_each(|translator| _ = behind.add(translator));
        let is_public = |address: &&IpAddr| {
            behind.behind(**address).chain([**address]).all(|address| internal_range(address).is_none())
        };
        let dialled = asked_for(answers.clone());
        prop_assert!(dialled.iter().all(|address| is_public(&address)), "{:?}", dialled);
        // What is public is asked for, so the check can fail.
        for public in answers.iter().flatten().filter(is_public) {
            prop_assert!(dialled.contains(public), "{} of {:?}", public, dialled);
        }
    }
}
