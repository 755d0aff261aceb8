/**
 * The node table: where everything lies.
 *
 * The table is flat memory, the process's arena (native-bindings): all workers map it, none owns it, the garbage collector never sees it.
 * A *record* is named by its word index (u32 index into the arena, 0 = none), so an index is always a small integer. There is no pointer,
 * JS object, string or descriptor per node but the served descriptor in an inode record, which is a cache.
 *
 *   inode record   what a nodeid means: attributes, where its bytes are (lower, upper), the kernel's reference count, open counts
 *   dentry record  a name in a directory: parent inode record, name bytes, readdir cookie, and the inode record once one is needed
 *   blob           counted bytes: a lower path, a directory's list of lowers
 *
 * A directory is *loaded* once, whole: every name of upper and lowers becomes a dentry, merged, whiteouts included. From then on the table
 * is the truth about names (only we change the upper), and a lookup makes no system call. An inode record is made when the kernel first
 * asks for the name and freed after FORGET.
 *
 * PUBLICATION. Readers take no lock: a dentry is written whole and then hung into its hash chain with one Atomics.store; an inode record
 * is written whole and then stored into its dentry's INODE with one Atomics.store; both are read after Atomics.load. Names, parents and
 * hashes of a dentry never change (a rename makes a new dentry).
 *
 * LOCKS, in this order: the mount's rename lock (shared by all that derives a place on disk from names, exclusive for a directory
 * rename), directories (ancestor before descendant, else by record), node, then the table's own leaves (hash stripe, ident stripe,
 * allocator class), which are never held across a system call. A directory's lock guards its dentries and the content of its upper
 * directory; a node's lock (the same word) guards its place: lower or upper, descriptor, backing, open counts. `finally` unlocks.
 *
 * FREEING. A dentry or inode record that was unhung is retired: its memory is used again only when every worker has since finished the
 * request it was in (epoch.ts). An inode record dies when its lookup count is 0 by moving the count to DEAD with compare-and-swap, so a
 * count can only rise from a live record. A directory outlives its children's inode records (PINS).
 */

/** Words of the arena's head. Word 0 is never a record. */
export const enum Control {
  MAGIC = 1,
  VERSION = 2,
  /** 64 KiB pages in the arena */ PAGES = 3,
  /** first page never used so far */ NEXT_PAGE = 4,
  PAGE_LOCK = 5,
  /** chain of free pages through PageHeader.NEXT, as page numbers */ FREE_PAGE = 6,
  EPOCH = 7,
  /** slots of WORKERS in use */ WORKER_COUNT = 8,
  /** raised whenever a mount appears or is to go: workers look again */ MOUNTS_VERSION = 9,
  GENERATION = 10,
  /** workers are to end */ STOPPING = 11,
  /** guards the mount records' states and the free job slots */ MOUNTS_LOCK = 12,
  JOBS_LOCK = 13,
  /** workers that are ready */ READY = 14,
  /** pages in use, for statistics */ PAGES_USED = 15,
  /** live inode records and dentries */ INODES = 16,
  DENTRIES = 17,
  /** raised by whoever wants a spare worker */ SPARES_AWAKE = 18,
  INTERRUPT_NEXT = 19,
  /** ring of 64 (unique low, unique high) */ INTERRUPTS = 128,
  /** 16 words per size class */ CLASSES = 256,
  /** 16 words per worker */ WORKERS = 512,
  /** 1024 words: dentries that listings have ended with, to go on from (overlay/readdir.ts) */ POSITIONS = 1024,
  /** 64 words per mount */ MOUNTS = 2048,
  JOBS = 2048 + 256 * 64,
  STRIPES = JOBS + 1024 * 32,
  IDENT_STRIPES = STRIPES + 1024,
  /** a bit per page: belongs to a size class */ SLABS = IDENT_STRIPES + 256,
  DENTRY_BUCKETS = 65536,
  IDENT_BUCKETS = DENTRY_BUCKETS + (1 << 20),
  END = IDENT_BUCKETS + (1 << 18),
}

export const enum Limits {
  MAX_WORKERS = 32,
  MAX_MOUNTS = 256,
  MAX_JOBS = 1024,
  STRIPE_MASK = 1023,
  DENTRY_MASK = (1 << 20) - 1,
  IDENT_MASK = (1 << 18) - 1,
  PAGE_BYTES = 65536,
  PAGE_WORDS = 16384,
}

export const TABLE_MAGIC = 0x504c5946;
export const TABLE_VERSION = 1;

/** A worker's slot at Control.WORKERS + 16 * index. */
export const enum WorkerSlot {
  /** epoch it is working in; 0: idle */ EPOCH = 0,
  /** milliseconds (monotonic, low 31 bits, never 0) since it is in one request; 0: idle */ BUSY_SINCE = 1,
  OPCODE = 2,
  /** requests served */ SERVED = 3,
  /** eventfd that wakes it */ EVENTFD = 4,
  /** 1: a spare, asleep unless all others are stuck */ SPARE = 5,
  /** byte offset of its counters (counters.ts); 0: not started yet */ COUNTERS = 6,
  SIZE = 16,
}

/** A mount's record at Control.MOUNTS + 64 * index. */
export const enum MountWord {
  /** MountState; a futex word */ STATE = 0,
  /** record of the root's inode */ ROOT = 1,
  /** reader-writer lock */ RENAME_LOCK = 2,
  /** MountFlags */ FLAGS = 3,
  /** descriptors of the process; -1: none */ UPPER_FD = 5,
  WORK_FD = 6,
  INDEX_FD = 7,
  ORPHANS_FD = 8,
  DEVICE_FD = 9,
  /** workers that have it */ USERS = 10,
  LAYER_COUNT = 11,
  /** blob: one descriptor per lower, topmost first */ LAYERS = 12,
  /** serial for names in the work directory */ SERIAL = 13,
  /** live inode records of this mount */ INODES = 14,
  /** list: how things are shown (view.ts); 0: as they are */ VIEW = 15,
  /** list: Override of the upper and of each lower (layers/override.ts); 0: none has any */ OVERRIDES = 16,
  /** 0: no limit was negotiated: max_write in bytes */ MAX_WRITE = 17,
  /** level of nesting on other plyfs mounts */ LEVEL = 18,
  /** index of the mount record that holds what it shares with others (image.ts); 0: none */ IMAGE = 19,
  /** list of the chunks with a word for each of the image's nodes */ SHARED_WORDS = 20,
  /** a mount's directory that was listed last, and the last one that is worth reading ahead (ahead.ts); 0: none since */ LISTED = 21,
  OWN_AHEAD = 22,
  /** an image's: its directory that was listed last; 0: what is in it has been looked at */ AHEAD = 20,
  /** an image's: mounts that share it, and nodes made so far */ SHARERS = 21,
  ORDINALS = 22,
  /** descriptor of the object store, where a lower is an imported layer; -1: none is */ OBJECTS_FD = 23,
  /** bytes: LAYER_ID_BYTES for each lower: an imported layer's id, or zeros */ LAYER_IDS = 24,
  /** one device descriptor per worker at 32 + worker index */ CHANNELS = 32,
  SIZE = 64,
}

export const enum MountState {
  FREE = 0,
  SETTING_UP = 1,
  ACTIVE = 2,
  /** the kernel has let go of it; workers leave */ ENDED = 3,
  /** no mount, but what several mounts share */ IMAGE = 4,
}

export const enum MountFlags {
  WRITABLE = 1 << 0,
  VOLATILE = 1 << 1,
  METACOPY = 1 << 2,
  REDIRECT = 1 << 3,
  INDEX = 1 << 4,
  /** our marks are user.overlay.* instead of trusted.overlay.* */ USERXATTR = 1 << 5,
  /** passthrough is possible (kernel, privileges) and wanted */ PASSTHROUGH = 1 << 6,
  /** passthrough=always: lower files of a writable mount too, ELF or not */ PASSTHROUGH_ALWAYS = 1 << 7,
  /** setxattr and friends answer EOPNOTSUPP */ NOXATTRS = 1 << 8,
  /** FOPEN_NOFLUSH is understood */ NOFLUSH = 1 << 9,
  /** OPENDIR may be answered ENOSYS */ NO_OPENDIR = 1 << 10,
  KILLPRIV_V2 = 1 << 11,
  POSIX_ACL = 1 << 14,
  PARALLEL_DIRECT_WRITES = 1 << 15,
  /** the mount has the option noatime */ NOATIME = 1 << 16,
}

/** Words of an inode record (256 bytes). ATTR is a stat record of native-bindings: a stat call can write there. */
export const enum Inode {
  GENERATION = 0,
  /** InodeFlags */ FLAGS = 1,
  /** the kernel's references (i32); saturates; Lookups.DEAD: freed */ LOOKUPS = 2,
  LOCK = 3,
  /** mount index */ MOUNT = 4,
  /** head of the chain of its dentries (through Dentry.ALIAS); 0: root, or no name left */ DENTRY = 5,
  ATTR = 6,
  INO_LOW = 6,
  INO_HIGH = 7,
  SIZE_LOW = 8,
  SIZE_HIGH = 9,
  BLOCKS_LOW = 10,
  BLOCKS_HIGH = 11,
  MODE = 21,
  NLINK = 22,
  UID = 23,
  GID = 24,
  /** no directory: layer index + 1 of its lower */ LAYER = 38,
  /** directory: position in LOWERS of the one that its attributes are of: the first that is not implicit */ ATTRIBUTES_OF = 38,
  /** regular file: blob: path below a layer's root of its lower data, where they are not in the lower file itself (metacopy) */ DATA_PATH = 39,
  /** directory: blob: attributes that were read for its listing (stats.ts); 0: none */ STATS = 39,
  /** directory: blob [layer, path blob, handle]*: its lowers, topmost first; 0: none. The handle is that of an imported layer's row, else LowerHandle */ LOWERS = 40,
  /** directory: blob: its path in the merged lowers, where a redirect must point */ ORIGIN = 41,
  /** live passthrough and live served opens */ OPEN_PASSTHROUGH = 42,
  OPEN_CACHED = 43,
  /** backing id, 0: none, and what it is of (DataSource) */ BACKING = 44,
  BACKING_SOURCE = 45,
  /** descriptor + 1 for served reads and writes, and what it is of; the one it replaced */ FD = 46,
  FD_SOURCE = 47,
  FD_OLD = 48,
  /** job slot index + 1 of the copy that fills its upper */ JOB = 49,
  /** directory: LoadState; a futex word */ LOAD = 50,
  /** directory: its dentries in the order of their cookies */ FIRST = 51,
  LAST = 52,
  /** directory: the lowest serial that was given to a dentry since it is loaded; 0: none yet */ COOKIE = 53,
  /** no directory: blob: path of its lower below the layer's root, once no name leads there */ LOWER_PATH = 53,
  /** children that have an inode record */ PINS = 54,
  /** names that are no whiteouts */ ENTRIES = 55,
  IDENT_NEXT = 56,
  /** blob: its name in workdir/index */ INDEX_NAME = 57,
  /** the image's node that this one stands for (image.ts); 0: none */ SHARED = 58,
  /** Known: starts with an ELF head */ ELF = 59,
  /** directory, Known: has a default ACL */ DEFAULT_ACL = 60,
  /** Known: the lower itself is a metacopy whose data were looked up */ DATA_RESOLVED = 61,
  /** i32: what getattr adds to the nlink of the upper's file (index) */ NLINK_DELTA = 62,
  /** an image's node, which has no upper: its number among them */ ORDINAL = 62,
  /** layer index + 1 of DATA_PATH */ DATA_LAYER = 63,
  SIZE = 64,
}

export const enum Lookups {
  DEAD = -1,
  SATURATED = 0x7fffff00,
}

export const enum Known {
  UNKNOWN = 0,
  NO = 1,
  YES = 2,
}

export const enum InodeFlags {
  /** it is in the upper (in whole, or its metadata) */ UPPER = 1 << 0,
  /** in the upper, but its data are still the lower's */ METACOPY = 1 << 1,
  /** no name is left */ GONE = 1 << 2,
  /** its upper file is workdir/ply-orphans/<record in hex>-<generation> */ ORPHAN = 1 << 3,
  /** its upper file is also workdir/index/<INDEX_NAME> */ INDEXED = 1 << 4,
  /** upper directory: carries the impure mark */ IMPURE = 1 << 5,
  /** upper directory: carries the opaque mark, or has a redirect: lower names at its place do not merge */ OPAQUE = 1 << 6,
  /** directory made of more than one layer */ MERGED = 1 << 7,
  /** was open for reading and writing with passthrough: a shared mapping may change it unseen */ UNSEEN_STORES = 1 << 8,
  /** hangs in the ident hash */ IDENT = 1 << 9,
  ROOT = 1 << 10,
  /** the upper file's inode number is not what is shown: INO_LOW/HIGH are */ OWN_INO = 1 << 11,
  /** replaced by another node after the ESTALE swap: serves its old opens only */ SWAPPED = 1 << 12,
  /** a container's own char 0/0 */ FAKE_WHITEOUT = 1 << 13,
  /** the kernel refused a passthrough backing: served */ NO_BACKING = 1 << 14,
  /** security.capability was just removed: the SETATTR without a field that follows may be about that only */ LOST_CAPABILITY = 1 << 15,
  /** was given a further name by LINK */ LINKED = 1 << 16,
}

export const enum LoadState {
  NOT = 0,
  LOADING = 1,
  LOADED = 2,
}

export const enum DataSource {
  NONE = 0,
  LOWER = 1,
  UPPER = 2,
}

/** Words of a dentry record; the name's bytes and a NUL follow at NAME. */
export const enum Dentry {
  PARENT = 0,
  HASH = 1,
  HASH_NEXT = 2,
  NEXT = 3,
  PREVIOUS = 4,
  /**
   * Serial within the directory, from 3 to 2^31 - 1, rising along it. Names that come after it was loaded are put in front: who reads on does not see them, and comes to an end
   * whatever it makes of what it reads. Never used again while the directory's node lives, but by a new name of the same file, and after a billion new names.
   */
  COOKIE = 5,
  /** inode record; 0: none made yet */ INODE = 6,
  /** bits 0-3 DT_* type; DentryFlags; bits 16-23 length of the name */ FLAGS = 7,
  /** position + 1 in the parent's LOWERS of the topmost lower that has the name; 0: none */ LOWER = 8,
  /** directory: blob of all such positions when there are several */ LOWERS = 9,
  /** inode number for readdir, as shown */ INO_LOW = 10,
  INO_HIGH = 11,
  /** next dentry of the same inode record */ ALIAS = 12,
  /** number + 1 of its stat record in its directory's STATS; 0: none */ STAT = 13,
  NAME = 14,
}

export const enum DentryFlags {
  TYPE_MASK = 15,
  /** its lowers but the bottom one have been asked, and none of them has a mark of an overlay */ UNMARKED = 1 << 4,
  /** while loading: of an upper that nobody has written a number for; a lower that it was made of gives it its own */ UNNUMBERED = 1 << 5,
  /** the name does not exist, and the upper holds a whiteout for it */ WHITEOUT = 1 << 8,
  /** the upper holds the name (itself, not a whiteout) */ UPPER = 1 << 9,
  /** a lower holds it, so that removing it takes a whiteout */ LOWER = 1 << 10,
  /** unhung; waits to be used again */ DEAD = 1 << 11,
  /** while loading: lower layers do not count any more */ STOP = 1 << 12,
  /** while loading: only a lower's whiteout so far */ HIDDEN = 1 << 13,
  /** the attributes of its lower stand behind the name (Table.keepStat) */ STAT = 1 << 14,
  /** its topmost lower is a directory without attributes of its own (DirentMark.IMPLICIT) */ IMPLICIT = 1 << 15,
  NAME_SHIFT = 16,
}

/** Words of an element of Inode.LOWERS. */
export const LOWER_WORDS = 3;

/** In place of a handle, which no row's is: what is known of a lower whose handles are descriptors. */
export const enum LowerHandle {
  NONE = 0,
  /** it has been asked, and has no xattr by which an overlay marks a directory */ UNMARKED = 1,
}

/** Bytes of an imported layer's id that are kept: half of it. */
export const LAYER_ID_BYTES = 16;

/** Words of a blob; what it holds begins at DATA. */
export const enum Blob {
  /** references */ COUNT = 0,
  /** bytes of a string, elements of a list */ LENGTH = 1,
  DATA = 2,
}
