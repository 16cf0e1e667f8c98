// Exercises node: buffers, JSON, Maps, compression and worker threads.
'use strict';
const crypto = require('crypto');
const zlib = require('zlib');
const { Worker } = require('worker_threads');

let seed = 12345;
const number = () => (seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff);
const digest = (data) => crypto.createHash('sha256').update(data).digest('hex').slice(0, 16);

const buffers = [];
for (let i = 0; i < 3000; i++) {
    const buffer = i % 2 ? Buffer.alloc(number() % 20000, String(i))
        : Buffer.from(String(number()).repeat(i % 300));
    buffers[number() % 500] = buffer;
}
console.log('buffers', digest(Buffer.concat(buffers.filter(Boolean))));

const cleared = Buffer.alloc(1 << 20);
console.log('cleared', cleared.every((byte) => byte === 0));

const records = Array.from({ length: 30000 }, (_, id) => (
    { id, name: 'x'.repeat(number() % 100), at: number() }));
const text = JSON.stringify(records);
const sorted = JSON.parse(text).sort((a, b) => a.at - b.at || a.id - b.id);
console.log('json', text.length, digest(JSON.stringify(sorted)));

const packed = zlib.gzipSync(text);
console.log('gzip', zlib.gunzipSync(packed).toString() === text);

const source = `const { parentPort, workerData } = require('worker_threads');
    const map = new Map();
    for (let i = 0; i < 20000; i++) map.set('k' + i % 5000, Buffer.alloc(i % 64, workerData));
    parentPort.postMessage([...map.values()].reduce((n, b) => n + b.length + (b[0] || 0), 0));`;
const sums = [1, 2, 3, 4].map((workerData) => new Promise((resolve, reject) => {
    const worker = new Worker(source, { eval: true, workerData });
    worker.on('message', resolve).on('error', reject);
}));
Promise.all(sums).then((all) => console.log('workers', all.join(' ')));
