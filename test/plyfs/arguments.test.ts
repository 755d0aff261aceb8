/** The command line. */
import t from 'tap';
import { HELP, parseArguments, UsageError } from '../../cli/arguments.js';

t.test('the forms of a mount', (t) => {
  const rows: [line: string, expected: object][] = [
    ['-o a,b /mnt', { options: 'a,b', target: '/mnt', source: undefined }],
    ['SRC /mnt -o a,b', { options: 'a,b', target: '/mnt', source: 'SRC' }],
    ['/mnt -o a,b', { options: 'a,b', target: '/mnt' }],
    ['-oa,b /mnt', { options: 'a,b' }],
    ['-o a -o b /mnt', { options: 'a,b' }],
    ['--options a /mnt', { options: 'a' }],
    ['none /mnt -o rw,a -t fuse.plyfs', { options: 'rw,a', source: 'none', target: '/mnt' }],
    ['none /mnt -n -s -v -o a', { options: 'a' }],
    ['-o a -- -mnt', { target: '-mnt' }],
    ['-f -o a /mnt', { foreground: true, debug: false }],
    ['-d -o a /mnt', { foreground: true, debug: true }],
    ['--foreground --debug /mnt', { foreground: true, debug: true }],
    ['--log /l -o a /mnt', { log: '/l' }],
    ['--log=/l /mnt', { log: '/l', options: '' }],
    ['--version', { action: 'version' }],
    ['-V /mnt', { action: 'version' }],
    ['--help', { action: 'help' }],
    ['-h', { action: 'help' }],
  ];
  for (const [line, expected] of rows) t.match({ source: undefined, ...parseArguments(line.split(' ')) }, expected, line);
  t.end();
});

t.test('what makes no sense', (t) => {
  const rows: [list: string[], message: string][] = [
    [[], 'no mountpoint given'],
    [['-o', 'a'], 'no mountpoint given'],
    [['/mnt', '-o'], '-o needs a value'],
    [['/mnt', '--log'], '--log needs a value'],
    [['a', 'b', 'c', 'd'], 'too many arguments: c d'],
    [['-x', '/mnt'], 'unknown option -x'],
    [['--frobnicate', '/mnt'], 'unknown option --frobnicate'],
  ];
  for (const [list, message] of rows) t.throws(() => parseArguments(list), new UsageError(message), message);
  t.end();
});

t.test('the help names every option', (t) => {
  for (const word of [
    'lowerdir',
    'upperdir',
    'workdir',
    'volatile',
    'passthrough',
    'squash_to_uid',
    'squash_to_root',
    'uidmapping',
    'gidmapping',
    'xattr_permissions',
    'static_nlink',
    'timeout',
    'max_stack_depth',
    'workers',
    'log_level',
    '-f',
    '-d',
  ]) {
    t.ok(HELP.includes(word), word);
  }
  t.ok(HELP.includes('Examples:'));
  t.end();
});
