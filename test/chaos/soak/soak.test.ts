import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { uniform } from '../../../infra/demo/random.js';
import { describePage, figuresOf } from './page.js';
import { soakSchedule } from './schedule.js';
import { slopeOf, type Point } from './slope.js';
import { growths, problemsOf, TOLERANCES } from './verdict.js';
import type { Sample } from './watch.js';

/** Looks every ten seconds for so many hours. */
const over = (hours: number, group: string, value: (hours: number) => number): Point[] =>
  Array.from({ length: Math.floor(hours * 360) }, (_, index) => index / 360).map((at) => ({
    ...{ group, hours: at, value: value(at) },
  }));

describe('the slope of a figure', () => {
  it('is what is added in an hour, whatever level each process began at', () => {
    const noise = uniform(3);
    const points = [
      ...over(0.5, 'first', (at) => 200 + 12 * at + noise()),
      ...over(0.5, 'second', (at) => 90 + 12 * at + noise()),
    ];
    const { perHour, low, high } = slopeOf(points)!;
    expect(perHour).toBeCloseTo(12, 0);
    expect(low).toBeLessThan(perHour);
    expect(high - low).toBeLessThan(1);
  });

  it('has the true one in its interval in nearly all cases, also where one look hangs together with the next', () => {
    let inside = 0;
    for (let seed = 1; seed <= 100; seed++) {
      const random = uniform(seed);
      let wave = 0;
      const points = over(1, 'p', (at) => 100 + 5 * at + (wave = 0.8 * wave + random() - 0.5));
      const { low, high } = slopeOf(points)!;
      if (low <= 5 && 5 <= high) inside++;
    }
    expect(inside).toBeGreaterThanOrEqual(85);
  });

  it('is the exact one of a straight line, and nothing where there are too few looks', () => {
    expect(slopeOf(over(1, 'p', (at) => 7 - 3 * at))!.perHour).toBeCloseTo(-3, 9);
    expect(slopeOf(over(0.02, 'p', () => 1))).toBeUndefined();
    expect(slopeOf(Array.from({ length: 50 }, (_, n) => ({ group: String(n), hours: n, value: n })))).toBeUndefined();
  });
});

describe('the schedule of a soak', () => {
  it('is the same for a seed, ends before the time does, and repairs one thing before the next breaks', () => {
    expect(soakSchedule(7200, 4)).toEqual(soakSchedule(7200, 4));
    expect(soakSchedule(7200, 5)).not.toEqual(soakSchedule(7200, 4));
    const strikes = soakSchedule(7200, 4);
    for (const [index, { at }] of strikes.entries()) {
      const before = strikes[index - 1];
      expect(at).toBeLessThan(7170);
      if (before) expect(at).toBeGreaterThanOrEqual(before.at + (before.repair?.afterSeconds ?? 0) + 20);
    }
  });

  it('has every kind of fault within half an hour, and brings back whatever host, link, disk or clock it takes', () => {
    const strikes = soakSchedule(1800, 1);
    const kinds = new Set(strikes.map(({ do: fault }) => fault));
    for (const fault of ['killServer', 'killHost', 'unplug', 'fillDisk', 'stepClockBack', 'upgradeNodes', 'freezeRank'])
      expect(kinds).toContain(fault);
    for (const { do: fault, repair } of strikes)
      if (/^(killHost|killServer|unplug|cut|fillDisk|stepClock|freeze)/.test(fault)) expect(repair).toBeDefined();
  });
});

describe('the verdict of a soak', () => {
  const memory = (pid: number, mbAnHour: number, hours = 1): Sample[] =>
    over(hours, '', (at) => 150 + mbAnHour * at).map(({ hours: at, value }, index) => ({
      ...{ hours: at, host: 'n1', pid, figures: { rssMb: value + (index % 2), descriptors: 40 } },
    }));

  it('calls memory that grows what it is, and names worker, slope and interval', () => {
    const found = growths(memory(7, 90), TOLERANCES);
    expect(problemsOf(found, [], [])).toEqual([
      expect.stringMatching(/^rssMb of n1 grows by 9\d\.\d an hour \(.* to /),
    ]);
    expect(growths(memory(7, 3), TOLERANCES).map(({ verdict }) => verdict)).toEqual(['flat', 'flat']);
  });

  it('accuses nobody after too short a time, and says so', () => {
    const noise = uniform(9);
    const samples = memory(7, 40, 0.25).map((one) => ({ ...one, figures: { rssMb: 150 + 30 * noise() } }));
    const found = growths(samples, TOLERANCES);
    expect(found.map(({ verdict }) => verdict)).toEqual(['unsure']);
    expect(problemsOf(found, [], [])).toEqual([]);
  });

  it('takes no account of the first ten minutes of a process, which fills its caches', () => {
    const starts = Array.from({ length: 30 }, (_, pid) =>
      over(0.25, '', (at) => Math.min(150, 60 + 540 * at)).map(({ hours, value }) => ({
        ...{ hours: hours + pid, host: 'n1', pid, figures: { rssMb: value } },
      })),
    ).flat();
    expect(growths(starts, TOLERANCES).map(({ verdict }) => verdict)).toEqual(['flat']);
  });

  it('holds histories and payloads against what the server warns at, and judges nothing that it is told not to', () => {
    const executions = [
      { workflowId: 'long', events: 10_241, payload: 9, payloadIn: 'x' },
      { workflowId: 'large', events: 9, payload: 262_145, payloadIn: 'workflowExecutionSignaledEventAttributes' },
      { workflowId: 'fine', events: 10_240, payload: 262_144, payloadIn: 'x' },
    ];
    expect(problemsOf([], executions, ['a leftover'])).toEqual([
      'long has 10241 events in one execution',
      'large has a payload of 262145 bytes (workflowExecutionSignaledEventAttributes)',
      'a leftover',
    ]);
    const found = growths(memory(7, 90), TOLERANCES, ['n1 rssMb']);
    expect(found.map(({ verdict }) => verdict)).toEqual(['not judged', 'flat']);
  });

  it('is shown with every figure and every problem, and as numbers for a program', () => {
    const page = {
      ...{ minutes: 30, iteration: 900, runs: 3, generations: 9, lost: 40, strikes: ['killHost n2'] },
      ...{ growths: growths(memory(7, 90), TOLERANCES), problems: ['something'] },
      executions: [{ workflowId: 'soak-1', events: 321, payload: 2048, payloadIn: 'x' }],
    };
    const text = describePage(page);
    expect(text).toMatch(/n1 +rssMb .*\+9\d\.\d .* grows/);
    expect(text).toContain('PROBLEM: something');
    expect(text).toContain('soak-1 321');
    expect(figuresOf(page)).toMatchObject({ faults: 1, longestHistory: 321, problems: ['something'] });
  });
});

it("steps a worker's wall clock by what a file says, while it runs, and leaves given dates as they are", async () => {
  const dir = await mkdtemp(join(tmpdir(), 'soak-clock-'));
  try {
    await writeFile(join(dir, 'clock'), '3600000');
    const shim = fileURLToPath(new URL('clock-shim.mjs', import.meta.url));
    const script = `
      const seen = [Date.now(), new Date().getTime()];
      require('fs').writeFileSync(process.env.CHAOS_CLOCK, '0');
      setTimeout(() => console.log(JSON.stringify([...seen, Date.now(), +new Date(5), new Date(5) instanceof Date])), 500);`;
    const before = Date.now();
    const { stdout } = await promisify(execFile)(process.execPath, ['--import', shim, '-e', script], {
      env: { ...process.env, CHAOS_CLOCK: join(dir, 'clock') },
    });
    const [now, fresh, later, ...rest] = JSON.parse(stdout) as [number, number, number, number, boolean];
    for (const stepped of [now, fresh]) expect(stepped - before).toBeGreaterThanOrEqual(3_600_000);
    expect(later).toBeLessThanOrEqual(Date.now());
    expect(rest).toEqual([5, true]);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});
