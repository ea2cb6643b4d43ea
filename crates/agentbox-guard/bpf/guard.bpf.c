// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// Refuses to tasks of a session that a protected name below its project comes to be, changes or goes, and that
// a masked one is read.
//
// Everything that is decided is data that the supervisor wrote into the maps: which control group is whose
// session, which directory is its project, and its patterns. A pattern is matched from the last name of a path
// upwards. Each name of each pattern has a position, a bit; the bits of all patterns that can go on at a name
// are kept while walking up (the Shift-And automaton of Baeza-Yates and Gonnet, with names as letters).
// `agentbox-kernel/src/guard/rules.rs` makes the tables, and has the same automaton in Rust for its tests.
//
// Package managers fill directories with what others wrote. Below one of those (`brought`) most patterns do not
// hold: a match counts until such a name is met above it. So that nothing gets from there to where it would be in
// force, a directory or a link does not leave such a place, and no link leads into one from elsewhere.
//
// What cannot be told is refused: a project deeper than MAX_DEPTH, a directory that folds case, a link that is
// longer than any.

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed int __s32;
typedef signed long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;

// uapi/linux/bpf.h
enum { BPF_MAP_TYPE_HASH = 1, BPF_MAP_TYPE_ARRAY = 2, BPF_MAP_TYPE_RINGBUF = 27 };
enum { BPF_F_NO_PREALLOC = 1 };

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

// The kernel asks for a licence that is compatible with its own.
char LICENSE[] SEC("license") = "Dual MIT/GPL";

// Of the kernel's structures only what is read; the loader corrects the offsets from the running kernel's BTF.
#define KERNEL __attribute__((preserve_access_index))
struct qstr {
	__u32 len;
	const unsigned char *name;
} KERNEL;
struct super_block {
	__u32 s_dev;
} KERNEL;
struct inode {
	__u16 i_mode;
	__u32 i_flags;
	struct super_block *i_sb;
	unsigned long i_ino;
} KERNEL;
struct dentry {
	__u32 d_flags;
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
} KERNEL;
struct path {
	struct dentry *dentry;
} KERNEL;
struct file {
	__u32 f_mode;
	struct path f_path;
} KERNEL;

#define EPERM 1
#define EXDEV 18
#define S_IFMT 0170000
#define S_IFDIR 0040000
#define S_IFLNK 0120000
#define S_CASEFOLD (1 << 15)        // include/linux/fs.h, since 5.4
#define FMODE_WRITE 2               // include/linux/fs.h
#define DCACHE_DISCONNECTED (1 << 5) // include/linux/dcache.h

#define NAME 64      // longest literal, and one: a longer name is never one
#define TAIL 24      // longest front and end of a name with a star
#define WORDS 6      // 384 positions: what a stack of 512 bytes has room for
#define STARS 24
#define MOST_BROUGHT 16
#define LEVELS 6
#define PATH_MAX 4096
#define MAX_DEPTH 256 // names between a project and a file
#define TOLD 8       // names of an event

#define MASKS 1      // flags of a session: it has masks
#define ANY_LAST 2   // a pattern can begin at any last name
#define ANY_ABOVE 4  // one can begin at any directory

struct config {
	__u32 sessions;       // nothing is looked at while there are none
	__u32 level_count;
	__u32 levels[LEVELS]; // depths of control groups that are sessions'
	__u32 trial;          // a thread that opens something to see whether it is asked
	__u32 answered;       // it was
};

// A name with a star: its first and its last bytes, in masks of whole words so that no byte is branched on.
struct star {
	__u64 front[TAIL / 8], front_mask[TAIL / 8];
	__u64 end[TAIL / 8], end_mask[TAIL / 8]; // the last byte is the end's
	__u32 least; // bytes of a name
	__u32 position;
};

struct session {
	__u64 root_ino;
	__u32 root_dev;
	__u32 flags;
	__u64 last[WORDS];       // positions that the last name begins
	__u64 above[WORDS];      // positions that any name above it begins: patterns that end in `**`
	__u64 moved[WORDS];      // positions that the name of a moved directory begins
	__u64 read_last[WORDS];  // as `last`, for reading
	__u64 read_above[WORDS];
	__u64 starts[WORDS];     // all of `last` and `above`
	__u64 deep[WORDS];       // `**`
	__u64 any[WORDS];        // `**` and `*`
	__u64 ends[WORDS];       // a match at any depth
	__u64 root_ends[WORDS];  // a match right below the project
	__u64 loose_ends[WORDS]; // a match at any depth, unless a name above it is a brought one
	__u64 sieve[16];         // names that may be literals, by length, first and last byte
	__u64 star_front[4];     // first bytes of names with a star
	__u64 star_end[4];       // last bytes of those that begin with the star
	__u64 brought_names[MOST_BROUGHT]; // their numbers, as text_byte() makes them
	__u32 star_count, brought_count;
	struct star stars[STARS];
};

// A name as the key of both tables: its positions in patterns, or where it leads to on exempt paths.
struct key {
	__u64 group;
	__u64 node; // POSITIONS, BROUGHT_NAME, or what the names below it led to
	__u8 name[NAME];
};
#define POSITIONS (~0ULL)
#define BROUGHT_NAME (~1ULL)

struct name {
	struct key key;
	__u64 tail[TAIL / 8]; // its last bytes; what stands before a shorter one is not looked at
	__u32 len;
	__u32 last; // its last byte
};

struct event {
	__u64 group;
	__u32 pid;
	__u32 hook;
	__u32 count; // of names; one more than TOLD when there are more
	__u32 pad;
	char task[16];
	char names[TOLD][NAME]; // the last one first
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct config);
} config SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, __u64); // control group
	__type(value, struct session);
} sessions SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1048576);
	__type(key, struct key);
	__type(value, __u64[WORDS]);
} names SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1048576);
	__type(key, struct key);
	__type(value, __u64); // the next node; the highest bit: a path ends here
} exempt SEC(".maps");
// Which session a control group is: for the supervisor alone, in a form that all versions keep.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, char[32]);
} held SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 262144);
} events SEC(".maps");

// Numbers that the supervisor knows.
enum { CREATE = 1, MKNOD, MKDIR, SYMLINK, LINK, RENAME_TO, RENAME_FROM, WRITE, READ, ATTRIBUTES, UNLINK, RMDIR, LINK_FROM, LEAD_IN };


// Where a path is, seen from a project.
enum { OUTSIDE, BELOW, UNKNOWN, BROUGHT };

#define HELD (1 << 16) // one that matched holds everywhere

// What comes or goes at a path (`is_moved`): one name, a directory with what it holds or a link that stands for one, or a link to
// another name beside it.
enum { NAME_ONLY, MOVED, BESIDE };

// What one walk up a path keeps.
struct walk {
	struct session *session;
	struct dentry *at;
	__u64 plain[WORDS]; // positions that match so far
	__u64 moved[WORDS]; // the same for the name of a moved directory
	struct name name;
	__u32 live;         // whether there are any
	__u32 hit;          // a pattern matched at its depth: of how many last names the topmost match consists; and HELD
	__u32 hit_at_root;  // one would match if this were right below the project
	__u32 is_moved;
	__u32 is_read;
	__u32 where;
	__u32 whole; // the names so far are those of an exempt path
};

static __always_inline int has(const __u64 *bits, __u32 at)
{
	return (bits[(at >> 6) & 3] >> (at & 63)) & 1;
}

// Whether the name can be one of the session's at all. Most are not, and cost no lookup.
static __always_inline int sifted(const struct session *s, const struct name *n)
{
	__u32 first = n->key.name[0], last = n->last & 255;
	__u32 at = (n->len * 8 + first * 31 + last * 7) & 1023;
	if ((s->sieve[at >> 6] >> (at & 63)) & 1)
		return 1;
	return has(s->star_front, first) || has(s->star_end, last);
}

// Adds the positions of names with a star.
static __always_inline void add_stars(__u64 bits[WORDS], const struct session *s, const struct name *n)
{
	const __u64 *head = (const __u64 *)n->key.name;

	for (int i = 0; i < STARS; i++) {
		const struct star *star = &s->stars[i];
		__u32 position = star->position;
		__u64 differs = n->len < star->least;

		if (i >= s->star_count)
			break;
		for (int word = 0; word < TAIL / 8; word++) {
			differs |= (head[word] ^ star->front[word]) & star->front_mask[word];
			differs |= (n->tail[word] ^ star->end[word]) & star->end_mask[word];
		}
		if (position < WORDS * 64)
			bits[position >> 6] |= (__u64)!differs << (position & 63);
	}
}

// 1 when there is a bit, without a branch.
static __always_inline __u32 is_any(__u64 bits)
{
	__u64 negative = -bits;
	asm volatile("" : "+r"(negative));
	return (bits | negative) >> 63;
}

// Goes on with one name.
static __always_inline void step(struct walk *w, const struct session *s, const struct name *n, __u32 depth)
{
	__u64 bits[WORDS];
	__u64 plain = 0, moved = 0, live = 0, hit = 0, at_root = 0, loose = 0;
	__u64 *literal;

	for (int i = 0; i < WORDS; i++)
		bits[i] = s->any[i];
	if (n->len < NAME) {
		literal = bpf_map_lookup_elem(&names, &n->key);
		if (literal) {
			for (int i = 0; i < WORDS; i++)
				bits[i] |= literal[i];
		}
	}
	if (s->star_count)
		add_stars(bits, s, n);
	for (int i = 0; i < WORDS; i++) {
		__u64 old = w->plain[i], begin, next;
		if (depth)
			begin = w->is_read ? s->read_above[i] : s->above[i];
		else
			begin = w->is_read ? s->read_last[i] : s->last[i];
		next = ((((old << 1) | plain | (old & s->deep[i])) & ~s->starts[i]) | begin) & bits[i];
		plain = old >> 63;
		w->plain[i] = next;
		live |= next;
		hit |= next & s->ends[i];
		loose |= next & s->loose_ends[i];
		at_root |= next & s->root_ends[i];
		old = w->moved[i];
		next = (((old << 1) | moved | (old & s->deep[i])) & ~s->starts[i]) & bits[i];
		if (!depth && w->is_moved)
			next = s->moved[i] & bits[i];
		// What would hold below any name holds below the one that it leads to.
		if (!depth && w->is_moved == BESIDE)
			next &= ~s->any[i];
		moved = old >> 63;
		w->moved[i] = next;
		live |= next;
		hit |= next & s->ends[i];
		loose |= next & s->loose_ends[i];
		at_root |= next & s->root_ends[i];
	}
	w->live = live != 0;
	// One number, not several: the kernel's verifier goes through every combination of what is and is not.
	if (hit | loose)
		w->hit = (depth + 1) | (w->hit & HELD) | is_any(hit) << 16;
	w->hit_at_root = at_root != 0;
}

static __always_inline void read_name(struct name *n, struct dentry *d)
{
	const unsigned char *name = d->d_name.name;
	__u32 len = d->d_name.len, head = len < NAME - 1 ? len : NAME - 1;

	__builtin_memset(n->key.name, 0, NAME);
	n->len = len;
	bpf_probe_read_kernel(n->key.name, head & (NAME - 1), name);
	n->last = 0;
	if (len)
		bpf_probe_read_kernel(&n->last, 1, name + len - 1);
}

static __always_inline void read_tail(struct name *n, struct dentry *d)
{
	// Short names lie in their dentry, behind its other fields; longer ones are longer than this.
	bpf_probe_read_kernel(n->tail, TAIL, d->d_name.name + n->len - TAIL);
}

static __always_inline int is_root(const struct session *s, struct inode *inode)
{
	return inode->i_ino == s->root_ino && inode->i_sb->s_dev == s->root_dev;
}

// Functions that bpf_loop() calls for each name: 1 ends the walk.
static long exempt_name(__u32 depth, struct walk *w)
{
	struct dentry *d = w->at, *parent = d->d_parent;
	struct inode *inode = d->d_inode;
	__u32 len = d->d_name.len;
	__u64 *next;

	if (inode && is_root(w->session, inode)) {
		w->where = BELOW;
		return 1;
	}
	if (len >= NAME || parent == d)
		return 1;
	read_name(&w->name, d);
	next = bpf_map_lookup_elem(&exempt, &w->name.key);
	if (!next)
		return 1;
	w->whole = *next >> 63;
	w->name.key.node = *next & ~(1ULL << 63);
	w->at = parent;
	return 0;
}

static long judge_name(__u32 depth, struct walk *w)
{
	struct session *s = w->session;
	struct dentry *d = w->at, *parent = d->d_parent;
	struct inode *inode = d->d_inode;

	if (inode) {
		if (is_root(s, inode)) {
			w->where = BELOW;
			return 1;
		}
		// Another spelling would be the same file.
		if (depth && (inode->i_flags & S_CASEFOLD))
			w->hit = HELD;
	}
	if (parent == d) {
		// Without names above it nobody can tell where it is.
		if (!inode || !(d->d_flags & DCACHE_DISCONNECTED) || inode->i_sb->s_dev != s->root_dev)
			w->where = OUTSIDE;
		return 1;
	}
	read_name(&w->name, d);
	if (w->live || (s->flags & (depth ? ANY_ABOVE : ANY_LAST)) || sifted(s, &w->name) || (!depth && w->is_moved)) {
		if (s->star_count)
			read_tail(&w->name, d);
		step(w, s, &w->name, depth);
	} else {
		w->hit_at_root = 0;
	}
	w->at = parent;
	return 0;
}

// A search for a brought name.
struct search {
	struct session *session;
	struct dentry *at;
	struct name name;
	__u32 from; // names that do not count
	__u32 found;
	__u32 where;
};

static long brought_name(__u32 depth, struct search *w)
{
	struct dentry *d = w->at, *parent = d->d_parent;
	struct inode *inode = d->d_inode;

	if (inode && is_root(w->session, inode)) {
		w->where = BELOW;
		return 1;
	}
	if (parent == d)
		return 1;
	if (depth >= w->from && d->d_name.len < NAME) {
		read_name(&w->name, d);
		if (bpf_map_lookup_elem(&names, &w->name.key))
			w->found = 1;
	}
	w->at = parent;
	return 0;
}

// Where a path is: BELOW the project, there with a BROUGHT name above that many of its last names, or OUTSIDE.
static __attribute__((noinline)) int place(struct session *s, __u64 group, struct dentry *d, __u32 from)
{
	struct search w = {
		.session = s,
		.at = d,
		.name = { .key = { .group = group, .node = BROUGHT_NAME } },
		.from = from,
		.where = OUTSIDE,
	};

	if (s->brought_count)
		bpf_loop(MAX_DEPTH, brought_name, &w, 0);
	return w.where == BELOW && w.found ? BROUGHT : w.where;
}

static __attribute__((noinline)) int refuse(const struct session *s, struct dentry *d, __u64 group, __u32 hook)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (event) {
		event->group = group;
		event->pid = bpf_get_current_pid_tgid() >> 32;
		event->hook = hook;
		event->count = TOLD + 1;
		event->pad = 0;
		bpf_get_current_comm(event->task, sizeof(event->task));
		__builtin_memset(event->names, 0, sizeof(event->names));
		for (int i = 0; i < TOLD; i++) {
			struct inode *inode = d->d_inode;
			if (inode && is_root(s, inode)) {
				event->count = i;
				break;
			}
			bpf_probe_read_kernel_str(event->names[i], NAME, d->d_name.name);
			d = d->d_parent;
			inode = d->d_inode;
			if (i == TOLD - 1 && inode && is_root(s, inode))
				event->count = TOLD;
		}
		bpf_ringbuf_submit(event, 0);
	}
	return -EPERM;
}

// What match() says: ALLOWED, REFUSED, or of how many last names consists a path that is refused unless a name above
// them is a brought one, and one more.
enum { ALLOWED, REFUSED };

// The functions from here on keep what they walk with to themselves: the kernel's verifier goes through all that
// follows once for each way in which it could be left.
static __attribute__((noinline)) __u32 match(struct session *s, __u64 group, struct dentry *d, int is_moved, int is_read)
{
	struct walk w = {
		.session = s,
		.at = d,
		.name = { .key = { .group = group, .node = POSITIONS } },
		.is_moved = is_moved,
		.is_read = is_read,
		.where = UNKNOWN,
	};

	bpf_loop(MAX_DEPTH, judge_name, &w, 0);
	if (w.where == OUTSIDE)
		return ALLOWED;
	if (w.where == UNKNOWN || (w.hit & HELD) || w.hit_at_root)
		return REFUSED;
	return w.hit ? w.hit + 1 : ALLOWED;
}

static __attribute__((noinline)) int is_exempt(struct session *s, __u64 group, struct dentry *d)
{
	struct walk w = { .session = s, .at = d, .name = { .key = { .group = group } }, .where = UNKNOWN };

	bpf_loop(MAX_DEPTH, exempt_name, &w, 0);
	return w.where == BELOW && w.whole;
}

// Whether the session may do that to the path of `d`.
static __attribute__((noinline)) int judge(struct session *s, __u64 group, struct dentry *d, int is_moved,
					   __u32 hook)
{
	__u32 matched = match(s, group, d, is_moved, hook == READ);

	if (matched == ALLOWED || (matched > REFUSED && place(s, group, d, matched - 1) == BROUGHT))
		return 0;
	// A directory can bring what is not exempt, and a symbolic link lead there.
	if (!is_moved && is_exempt(s, group, d))
		return 0;
	return refuse(s, d, group, hook);
}

// A search for brought names in what a link says.
struct text {
	const struct session *session;
	const char *at;
	__u64 number; // of the bytes since the last slash
	__u32 found;
	__u32 whole;
};

// FNV-1a, as pins.rs has it.
#define NUMBER_OF_NOTHING 0xcbf29ce484222325ULL
#define NUMBER_PRIME 0x100000001b3ULL

static long text_byte(__u32 i, struct text *t)
{
	const struct session *s = t->session;
	unsigned char byte = 0;

	if (bpf_probe_read_kernel(&byte, 1, t->at + i))
		return 1;
	if (byte && byte != '/') {
		t->number = (t->number ^ byte) * NUMBER_PRIME;
		return 0;
	}
	for (int at = 0; at < MOST_BROUGHT; at++)
		t->found |= (at < s->brought_count) & (s->brought_names[at] == t->number);
	t->number = NUMBER_OF_NOTHING;
	t->whole = !byte;
	return t->whole;
}

// Whether a link that says this leads into a brought directory, by any name in it. What the names before lead to
// does not matter: a link that leads into one without saying so would need another link that does.
static __attribute__((noinline)) int leads_in(struct session *s, const char *to)
{
	struct text t = { .session = s, .at = to, .number = NUMBER_OF_NOTHING };

	if (!s->brought_count)
		return 0;
	bpf_loop(PATH_MAX, text_byte, &t, 0);
	return t.found || !t.whole;
}

// Whether a link that says this leads to a name in its own directory.
static __attribute__((noinline)) int is_beside(const char *to)
{
	char name[NAME] = {};
	long size = bpf_probe_read_kernel_str(name, NAME, to); // with its end; NAME when it was cut

	if (size < 2 || size >= NAME)
		return 0;
	for (int i = 0; i < NAME; i++) {
		if (name[i] == '/')
			return 0;
	}
	return !(name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2])));
}

static __always_inline struct session *session(__u64 *group)
{
	__u32 zero = 0;
	struct config *c = bpf_map_lookup_elem(&config, &zero);

	struct session *own;

	if (!c || !c->sessions)
		return 0;
	*group = bpf_get_current_cgroup_id();
	own = bpf_map_lookup_elem(&sessions, group);
	if (own)
		return own;
	for (int i = 0; i < LEVELS; i++) {
		struct session *s;
		if (i >= c->level_count)
			break;
		*group = bpf_get_current_ancestor_cgroup_id(c->levels[i]);
		s = bpf_map_lookup_elem(&sessions, group);
		if (s)
			return s;
	}
	return 0;
}

static __always_inline int is_kind(struct dentry *d, __u32 kind)
{
	struct inode *inode = d->d_inode;
	return inode && (inode->i_mode & S_IFMT) == kind;
}

SEC("lsm/inode_create")
int BPF_PROG(guard_create, struct inode *dir, struct dentry *d, __u16 mode, int ret)
{
	__u64 group = 0;
	struct session *s = ret ? 0 : session(&group);
	return s ? judge(s, group, d, 0, CREATE) : ret;
}

SEC("lsm/inode_mknod")
int BPF_PROG(guard_mknod, struct inode *dir, struct dentry *d, __u16 mode, __u32 dev, int ret)
{
	__u64 group = 0;
	struct session *s = ret ? 0 : session(&group);
	return s ? judge(s, group, d, 0, MKNOD) : ret;
}

SEC("lsm/inode_mkdir")
int BPF_PROG(guard_mkdir, struct inode *dir, struct dentry *d, __u16 mode, int ret)
{
	__u64 group = 0;
	struct session *s = ret ? 0 : session(&group);
	return s ? judge(s, group, d, 0, MKDIR) : ret;
}

SEC("lsm/inode_symlink")
int BPF_PROG(guard_symlink, struct inode *dir, struct dentry *d, const char *to, int ret)
{
	__u64 group = 0;
	struct session *s = ret ? 0 : session(&group);
	int result;
	if (!s)
		return ret;
	result = judge(s, group, d, is_beside(to) ? BESIDE : MOVED, SYMLINK);
	if (!result && place(s, group, d, 0) == BELOW && leads_in(s, to))
		result = refuse(s, d, group, LEAD_IN);
	return result;
}

// Whether what lies in a brought directory would come to lie elsewhere: what a directory of it holds would be in force
// there, and so would what a link leads to. As between file systems: mv(1) and others copy then, and each name is judged.
static __always_inline int leaves(struct session *s, __u64 group, struct dentry *from, struct dentry *to)
{
	return place(s, group, from, 0) == BROUGHT && place(s, group, to, 0) != BROUGHT;
}

// A second name of a protected file would be a way to write it, one of a masked file a way to read it.
SEC("lsm/inode_link")
int BPF_PROG(guard_link, struct dentry *old, struct inode *dir, struct dentry *d, int ret)
{
	__u64 group = 0;
	struct session *s = ret ? 0 : session(&group);
	int is_link, result;
	if (!s)
		return ret;
	is_link = is_kind(old, S_IFLNK);
	if (is_link && leaves(s, group, old, d))
		return -EXDEV;
	result = judge(s, group, d, is_link, LINK);
	return result ? result : judge(s, group, old, 0, LINK_FROM);
}

// The kernel asks twice when two names are exchanged, once for each.
SEC("lsm/inode_rename")
int BPF_PROG(guard_rename, struct inode *old_dir, struct dentry *old, struct inode *dir, struct dentry *d, int ret)
{
	__u64 group = 0;
	struct session *s = ret ? 0 : session(&group);
	int is_dir, brings, result;
	if (!s)
		return ret;
	is_dir = is_kind(old, S_IFDIR);
	brings = is_dir || is_kind(old, S_IFLNK);
	if (brings && leaves(s, group, old, d))
		return -EXDEV;
	result = judge(s, group, d, brings, RENAME_TO);
	return result ? result : judge(s, group, old, is_dir, RENAME_FROM);
}

SEC("lsm/file_open")
int BPF_PROG(guard_open, struct file *file, int ret)
{
	__u64 group = 0;
	__u32 zero = 0;
	struct config *c = bpf_map_lookup_elem(&config, &zero);
	struct session *s;
	struct dentry *d;
	int is_read;
	if (ret)
		return ret;
	if (c && c->trial && c->trial == (__u32)bpf_get_current_pid_tgid())
		c->answered = 1;
	s = session(&group);
	if (!s)
		return 0;
	is_read = !(file->f_mode & FMODE_WRITE);
	if (is_read && !(s->flags & MASKS))
		return 0;
	d = file->f_path.dentry;
	if (is_kind(d, S_IFDIR))
		return 0;
	return judge(s, group, d, 0, is_read ? READ : WRITE);
}

// Mode, owner, times and length. The first argument came with Linux 6.9; the loader takes the one that fits.
SEC("lsm/inode_setattr")
int BPF_PROG(guard_setattr, void *idmap, struct dentry *d, void *attributes, int ret)
{
	__u64 group = 0;
	struct session *s = ret ? 0 : session(&group);
	return s ? judge(s, group, d, 0, ATTRIBUTES) : ret;
}

SEC("lsm/inode_setattr")
int BPF_PROG(guard_setattr_old, struct dentry *d, void *attributes, int ret)
{
	__u64 group = 0;
	struct session *s = ret ? 0 : session(&group);
	return s ? judge(s, group, d, 0, ATTRIBUTES) : ret;
}

SEC("lsm/inode_unlink")
int BPF_PROG(guard_unlink, struct inode *dir, struct dentry *d, int ret)
{
	__u64 group = 0;
	struct session *s = ret ? 0 : session(&group);
	return s ? judge(s, group, d, 0, UNLINK) : ret;
}

SEC("lsm/inode_rmdir")
int BPF_PROG(guard_rmdir, struct inode *dir, struct dentry *d, int ret)
{
	__u64 group = 0;
	struct session *s = ret ? 0 : session(&group);
	return s ? judge(s, group, d, 0, RMDIR) : ret;
}
