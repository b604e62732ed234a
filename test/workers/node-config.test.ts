/** What a node worker is told, what it refuses, and what of it its commands get. */
import { expect, test } from 'vitest';
import { demoRunFile } from '../../infra/demo/run-file.js';
import { commandEnvironment, readHubTokens, readNodeConfig, refuseMisspelled } from '../../workers/config.js';
import { parseRunSpec } from '../../workflows/spec.js';

const settings = { PRETRAIN_NODE: 'n1', PRETRAIN_DATA: '/data', PRETRAIN_ADDRESS: '127.0.0.1' };

test('commands get the variables of their tools, and nothing that only the worker is to know', () => {
  const tools = { PATH: '/bin', LD_LIBRARY_PATH: '/lib', ASCEND_HOME_PATH: '/cann', HCCL_CONNECT_TIMEOUT: '1800' };
  const worker = {
    ...{ HF_TOKEN: 'x', MODELSCOPE_API_TOKEN: 'x', AWS_SECRET_ACCESS_KEY: 'x', AWS_SESSION_TOKEN: 'x' },
    ...{ TEMPORAL_API_KEY: 'x', TEMPORAL_TLS_CLIENT_KEY_DATA: 'x', PRETRAIN_TLS_KEY: '/key', GITHUB_TOKEN: 'x' },
  };
  const given = commandEnvironment(readNodeConfig(settings), { ...tools, ...worker, ...settings });
  expect(given).toMatchObject(tools);
  expect(Object.keys(given).filter((name) => name in worker || name in settings)).toEqual([]);
});

test("commands get MindIO's settings, and not the ranks that MindCluster gives a pod: torchrun numbers them", () => {
  const mindio = { HIGH_AVAILABILITY: 'dump', TTP_ADDR: '10.0.0.1', TTP_PORT: '8000', CONTROLLER_ADDR: '10.0.0.1' };
  const pod = { MASTER_ADDR: '10.0.0.1', MASTER_PORT: '2222', WORLD_SIZE: '16', RANK: '1', LOCAL_WORLD_SIZE: '8' };
  const given = commandEnvironment(readNodeConfig(settings), { ...mindio, ...pod });
  expect(given).toMatchObject(mindio);
  expect(Object.keys(given).filter((name) => name in pod)).toEqual([]);
});

test.each([
  ['PRETRAIN_SOURCES', 'data/raw', 'absolute paths with ":" between them'],
  ['PRETRAIN_EXPORTS', '/models:out', 'absolute paths with ":" between them'],
  ['PRETRAIN_CHECKOUT', 'abc', '64 hexadecimal digits'],
  ['PRETRAIN_DATA', 'data', 'an absolute path'],
  ['PRETRAIN_NODE', '../n1', 'letters, digits'],
])('a wrong %s is named, with what was expected', (name, value, expected) => {
  const read = () => readNodeConfig({ ...settings, [name]: value });
  expect(read).toThrow(`${name}: ${expected}`);
  expect(read).toThrow(`got ${JSON.stringify(value)}`);
});

test.each([
  ['HF_ENDPOINT', 'https://me:planted@mirror/'],
  ['HF_ENDPOINT', 'me:planted@mirror'],
  ['MODELSCOPE_ENDPOINT', 'http://planted@mirror/'],
  ['MODELSCOPE_DOMAIN', 'me:planted@mirror'],
])('a password in %s is refused, since messages tell the address, and the message does not (%s)', (name, value) => {
  const read = () => readNodeConfig({ ...settings, [name]: value });
  expect(read).toThrow(/(HF|MODELSCOPE)_ENDPOINT: /);
  expect(read).not.toThrow(/planted/);
});

test('run files may name tokens for hubs, and nothing else that a worker is told', () => {
  const tokens = { HF_TOKEN: 'a', HF_TOKEN_TEAM_A: 'b', MODELSCOPE_API_TOKEN_2: 'c' };
  const others = { AWS_SECRET_ACCESS_KEY: 'x', HF_TOKENS: 'x', MY_HF_TOKEN: 'x', HF_TOKEN_: 'x', HF_TOKEN_B: '' };
  expect(readHubTokens({ ...tokens, ...others })).toEqual(tokens);
  const named = (name: string) =>
    JSON.stringify(
      parseRunSpec({ ...demoRunFile('p', { iterations: 2, saveInterval: 1 }), tokens: { huggingface: name } }, 'r'),
    );
  expect(named('HF_TOKEN_TEAM_A')).not.toContain('problems');
  expect(named('AWS_SECRET_ACCESS_KEY')).toContain('tokens.huggingface');
});

test('a setting by nearly the right name is refused with the right one, and what others inject is let be', () => {
  const kubernetes = { PRETRAIN_CONTROL_PORT: 'tcp://10.0.0.1:80', PRETRAIN_CONTROL_SERVICE_HOST: '10.0.0.1' };
  const siblings = { MINDSPEED_MM: '/opt/MindSpeed-MM', MINDSPEED_RL: '/opt/MindSpeed-RL' };
  expect(() => refuseMisspelled({ ...settings, ...kubernetes, ...siblings, MINDSPEED_LLM: '/opt' })).not.toThrow();
  expect(() => refuseMisspelled({ PRETRAIN_DEVICE: '8', PRETRAIN_PROFIL: 'npu', MINDSPEED_LM: '/opt' })).toThrow(
    /PRETRAIN_DEVICE: .*PRETRAIN_DEVICES meant\?\n.*PRETRAIN_PROFIL: .*PRETRAIN_PROFILE meant\?\n.*MINDSPEED_LLM meant/,
  );
});
