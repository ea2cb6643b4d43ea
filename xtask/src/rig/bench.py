# Times of `true`, whole command, by an ordinary user: through the bus, and in bubblewrap, by turns.
import json, os, pwd, statistics, subprocess, sys, time

rounds, project = int(sys.argv[1]), "/home/bench/project"
person = pwd.getpwnam("bench")
os.makedirs(project, exist_ok=True)
os.chown(project, person.pw_uid, person.pw_gid)
group = [pwd.getpwnam("bench").pw_gid] + [g for g in os.getgrouplist("bench", person.pw_gid)]
bare = ["bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin",
        "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev",
        "--tmpfs", "/tmp", "--bind", project, project, "--chdir", project, "/usr/bin/true"]
boxed = ["agentboxctl", "start", ".", "--quiet", "--posture", "L2", "--network", "none", "--", "/usr/bin/true"]


def once(command):
    begun = time.perf_counter()
    subprocess.run(command, check=True, cwd=project, user="bench", group=person.pw_gid, extra_groups=group,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env={"PATH": "/usr/bin:/bin", "HOME": "/home/bench"})
    return (time.perf_counter() - begun) * 1000


for command in (bare, boxed):
    once(command)
times = [[once(command) for command in (bare, boxed)] for _ in range(rounds)]
print(json.dumps([statistics.median(column) for column in zip(*times)]))
