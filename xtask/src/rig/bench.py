# Times of `true`, whole command, by an ordinary user: through the bus, and in bubblewrap, by turns; starts at once;
# `list` while a session forks, another fills its memory, and a stranger floods the bus.
import concurrent.futures, json, os, pwd, signal, statistics, subprocess, sys, time

rounds, project = int(sys.argv[1]), "/home/bench/project"
person = pwd.getpwnam("bench")
os.makedirs(project, exist_ok=True)
os.chown(project, person.pw_uid, person.pw_gid)
group = [pwd.getpwnam("bench").pw_gid] + [g for g in os.getgrouplist("bench", person.pw_gid)]
bare = ["bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin",
        "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev",
        "--tmpfs", "/tmp", "--bind", project, project, "--chdir", project, "/usr/bin/true"]
boxed = ["agentboxctl", "start", ".", "--quiet", "--posture", "L2", "--network", "none", "--", "/usr/bin/true"]


as_person = dict(cwd=project, user="bench", group=person.pw_gid, extra_groups=group, stdin=subprocess.DEVNULL,
                 env={"PATH": "/usr/bin:/bin", "HOME": "/home/bench"})


def once(command):
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **as_person)
    return (time.perf_counter() - begun) * 1000


def at_once(cores):
    count = 20 * cores
    begun = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(4 * cores) as pool:
        list(pool.map(once, [boxed] * count))
    return count / (time.perf_counter() - begun) / cores


def under_load():
    bomb = "b() { while :; do sleep 5 & done 2>/dev/null; }; b & b & wait; sleep 600"
    fill = "import time; held = [bytearray(32 << 20) for _ in range(16)]; time.sleep(600)"
    for command in (["sh", "-c", bomb], ["python3", "-c", fill]):
        line = ["agentboxctl", "start", ".", "--quiet", "--detach", "--network", "none", "--", *command]
        subprocess.run(line, check=True, stdout=subprocess.DEVNULL, **as_person)
    flood = "while :; do busctl call org.agentbox1 /org/agentbox1 org.agentbox1.Manager List; done >/dev/null 2>&1"
    floods = [subprocess.Popen(["sh", "-c", flood], user="nobody", start_new_session=True) for _ in range(4)]
    try:
        return [once(["agentboxctl", "list"]) for _ in range(rounds)]
    finally:
        for one in floods:
            os.killpg(one.pid, signal.SIGKILL)
            one.wait()
        subprocess.run(["agentboxctl", "stop", "--all", "--timeout", "1s"], check=True, stdout=subprocess.DEVNULL)


for command in (bare, boxed):
    once(command)


def medians(rest):
    times = {}
    for _ in range(rounds):
        for name, command in (("bare", bare), ("boxed", boxed)):
            time.sleep(rest)
            times.setdefault(name, []).append(once(command))
    return [statistics.median(times["bare"]), statistics.median(times["boxed"])]


# The kernel's waits are shorter for some milliseconds after one: a person's start comes after none.
starts = [medians(0.3), medians(0)]
rate = at_once(os.cpu_count())
lists = under_load()
print(json.dumps({"starts": starts, "rate": rate, "list": [statistics.median(lists), max(lists)]}))
