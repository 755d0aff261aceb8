/** What the driver fuse-native says where it is not installed, and what it is not for. */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { parseOptions } from '../../daemon/mounts/options.js';
import { otherDriver } from '../../daemon/mounts/drivers.js';
import { leftBehind, testWithPlyd } from '../plyd/daemon.js';
import { run } from '../support/mounts.js';
import { isBesidePlyfs } from './installed.js';

const BIN = path.resolve(__dirname, '../../bin');

testWithPlyd('without the npm package it says what to do', async (t, plyd) => {
  if (isBesidePlyfs()) {
    t.pass('skipped', { skip: 'fuse-native is installed beside plyfs' });
    return;
  }
  const [point, layer] = ['m', 'layer'].map((name) => path.join(plyd.base, name));
  for (const directory of [point, layer]) fs.mkdirSync(directory);
  const { status, stderr } = await run(`${BIN}/ply`, [
    '--socket',
    plyd.socket,
    'mount',
    '--driver',
    'fuse-native',
    '-o',
    `lowerdir=${layer}`,
    point,
  ]);
  t.equal(status, 1);
  t.match(stderr, /^ply: .*npm package fuse-native is not installed: run "npm install --no-save --save-optional fuse-native" in \//);
  t.ok(stderr.includes(path.resolve(__dirname, '../../..')), 'the directory is that of plyfs');
  t.same(await plyd.mounts(), []);
  t.same(plyd.mounted(), []);
});

testWithPlyd('plyfs, and containers, do not have it', async (t, plyd) => {
  const [point, layer] = ['m', 'layer'].map((name) => path.join(plyd.base, name));
  for (const directory of [point, layer]) fs.mkdirSync(directory);
  const options = `driver=fuse-native,lowerdir=${layer}`;
  for (const socket of [plyd.socket, `${plyd.base}/nobody`]) {
    for (const further of ['', ',log_level=info']) {
      const { status, stderr } = await run(`${BIN}/plyfs`, ['-o', options + further, point], {
        env: { ...process.env, PLY_SOCKET: socket },
      });
      t.equal(status, 1);
      t.match(stderr, /use ply mount --driver fuse-native/);
    }
  }
  await plyd.image();
  t.match(await plyd.refused('POST', '/v1/containers', { image: 'img', name: 'c', options: 'driver=fuse-native' }), {
    status: 400,
    message: /read-only/,
  });
  t.match(await plyd.refused('POST', '/v1/mounts', { mountpoint: point, lower: [layer], driver: 'other' }), {
    status: 400,
    message: /driver/,
  });
  t.same(plyd.mounted(), []);
});

void t.test('options that it cannot have are refused by name', (t) => {
  const refusal = (options: string): string => {
    try {
      return String(otherDriver(parseOptions(`lowerdir=/a,driver=fuse-native,${options}`)));
    } catch (error) {
      return (error as Error).message;
    }
  };
  t.match(refusal('upperdir=/u,workdir=/w'), /read-only mounts: leave out upperdir and workdir/);
  for (const option of ['transport=uring', 'transport=dev', 'passthrough=always', 'workers=2', 'log_level=info', 'nosymfollow', 'lazytime'])
    t.match(refusal(option), new RegExp(`cannot have ${option.replace(/^(workers|log_level).*/, '$1')}: leave it out`), option);
  t.match(refusal('relatime,nodiratime'), /nodiratime, relatime: leave these options out/);
  for (const option of ['transport=auto', 'passthrough=never', 'nosuid,nodev,noexec,noatime', 'squash_to_uid=5', 'noxattrs', 'unknown'])
    t.equal(refusal(option), 'fuse-native', option);
  t.equal(otherDriver(parseOptions('lowerdir=/a,driver=plyfs,transport=uring')), undefined);
  t.throws(() => parseOptions('lowerdir=/a,driver=fuse'), /one of plyfs, fuse-native/);
  t.end();
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));
