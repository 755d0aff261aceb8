{
  'variables': {
    # PLYFS_FAULTS=1 in the environment compiles fault injection in (src/faults.c).
    'faults%': '<!(echo ${PLYFS_FAULTS:-0})',
  },
  'targets': [
    {
      'target_name': 'plyfs',
      'sources': [
        'src/addon.c', 'src/arena.c', 'src/clones.c', 'src/data.c', 'src/device.c', 'src/dirents.c', 'src/faults.c',
        'src/files.c', 'src/header.c', 'src/jobs.c', 'src/process.c', 'src/ring.c', 'src/socket.c', 'src/wait.c', 'src/xattr.c',
        'src/zstd.c',
      ],
      'defines': ['_GNU_SOURCE', '_FILE_OFFSET_BITS=64', 'NAPI_VERSION=8', 'PLYFS_FAULTS=<(faults)'],
      'libraries': ['-lzstd'],
      # gnu11 is C11 with typeof and statement expressions. Not every warning is an error: a newer compiler must still build a release.
      'cflags': [
        '-std=gnu11', '-O2', '-Wall', '-Wextra', '-Wshadow', '-Wstrict-prototypes', '-fvisibility=hidden', '-pthread',
        '-Werror=implicit-function-declaration', '-Werror=incompatible-pointer-types', '-Werror=int-conversion',
        '-Werror=return-type', '-Werror=format', '-Werror=uninitialized',
      ],
      # nodelete: the pool's threads run this code, also after the last environment that loaded it has gone.
      'ldflags': ['-pthread', '-Wl,-z,nodelete', '-Wl,-z,now'],
    },
  ],
}
