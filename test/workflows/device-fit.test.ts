/** A run is told where its devices are others than its release, machine or flags are for. */
import { describe, expect, it } from 'vitest';
import { deviceNotes, kindOf } from '../../workflows/device-fit.js';
import { recommended } from '../support/run-files.js';

const on = (...devices: string[]) => devices.map((device, index) => ({ name: `n${index}`, versions: { device } }));

it.each([
  ['910B3', 'A2'],
  ['Ascend910B1', 'A2'],
  ['Ascend910', 'A3'],
  ['Ascend950PR', 'Ascend 950'],
  ['Ascend310P3', undefined],
])('%s is a device of %s', (name, kind) => expect(kindOf(name)).toBe(kind));

describe('devices', () => {
  it('that are those of the machine, or of which nobody tells, are no news', () => {
    expect(deviceNotes(recommended('qwen3-8b', 'A2', '26.0.0'), on('910B3', '910B3'))).toEqual([]);
    expect(deviceNotes(recommended('qwen3-8b', 'A3', '26.1.0'), on('Ascend910'))).toEqual([]);
    expect(deviceNotes(recommended('qwen3-8b', 'A2', '26.0.0'), [{ name: 'n', versions: {} }])).toEqual([]);
  });

  it('of another machine have flags that are recommended for the other', () => {
    expect(deviceNotes(recommended('qwen3-8b', 'A2', '26.0.0'), on('910B3', 'Ascend910'))).toEqual([
      'devices of n1 are those of A3: cluster.machine is "A2", whose flags qwen3-8b is trained with',
    ]);
  });

  it('of Ascend 950 are supported from 26.1.0 on, without fused operators, and have no example', () => {
    const fused = { train: { extraArgs: { '--coc-fused-kernel': true } } };
    const [release, kernel, example] = deviceNotes(
      recommended('qwen3-8b', 'A2', '26.0.0', fused),
      on('Ascend950PR', 'Ascend950PR'),
    );
    expect(release).toBe(
      'devices of n0, n1 are Ascend 950: MindSpeed-LLM supports them from 26.1.0 on, and mindspeed.release is 26.0.0',
    );
    expect(kernel).toMatch(/no fused operators for them; take "--coc-fused-kernel" out of train\.extraArgs/);
    expect(example).toMatch(/cluster\.machine is "A2", .*: there is no example for these$/);
    expect(deviceNotes(recommended('qwen3-8b', 'A2', '26.1.0'), on('Ascend950PR'))).toHaveLength(1);
  });
});
