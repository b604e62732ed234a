/** What a worker is told by its environment or a file: the only reader of `process.env`. */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { homedir, hostname, networkInterfaces } from 'node:os';
import { fileURLToPath } from 'node:url';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { misspelled } from './misspelled.js';

const NO_PASSWORD = 'an address without a name or password in it';
const holdsPassword = (url: string): boolean => /^(\w+:\/\/)?[^/?#]*@/.test(url);
/** A setting as it may be told. */
const told = (value: string): string => (holdsPassword(value) ? 'one with a password' : JSON.stringify(value));

/** Root of the checkout, from `workers/` as well as from `dist/workers/`. */
export const root = fileURLToPath(
  new URL(import.meta.url.includes('/dist/workers/') ? '../..' : '..', import.meta.url),
);
const referenceBackend = resolve(root, 'infra/reference-backend');

/** What commands keep for the next call; not in the system's temporary directory, where others could put files first. */
export const cacheDir = (env: Environment = process.env): string =>
  join(env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'mindspeed-pretrain-workflow');

/** npm runs scripts in the package's own directory; a person means the one that they are in. */
export const invokedFrom = (env: Environment = process.env): string => env['INIT_CWD'] ?? process.cwd();

/** It is told in messages, and no client here would send what is in it. */
const endpoint = z
  .url({ protocol: /^https?$/, error: 'an http:// or https:// address' })
  .refine((url) => !holdsPassword(url), NO_PASSWORD);

const nodeConfig = z
  .strictObject({
    /** Name of the node, its task queue's `node-<name>`. */
    name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'letters, digits, ".", "_", "-"; 63 at most'),
    /** Address at which other nodes reach this one. */
    address: z.string().min(1),
    /** Port of the file service; 0 takes a free one at first start and keeps it. */
    port: z.coerce.number().int().min(0).max(65535),
    data: z.string('an absolute path').startsWith('/', 'an absolute path'),
    mindspeed: z.string().startsWith('/', 'an absolute path'),
    /** SHA-256 of the programs in `mindspeed` that may run here, as a node check tells it. */
    checkout: z
      .string()
      .regex(/^[0-9a-f]{64}$/, '64 hexadecimal digits')
      .optional(),
    profile: z.enum(['npu', 'cpu']),
    devices: z.coerce.number().int().min(1).max(64),
    pool: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,126}$/),
    python: z.string().min(1),
    /** Where the host's file system begins, for a worker in a container that has it mounted. */
    root: z.string().startsWith('/', 'an absolute path'),
    /** Directories that runs may read through `file://`, with ":" between them; `<data>` always. */
    sources: z
      .string('absolute paths')
      .regex(/^\/[^:]*(:\/[^:]*)*$/, 'absolute paths with ":" between them')
      .optional(),
    /** Directories that exports may be written below, likewise; without it none. */
    exports: z
      .string('absolute paths')
      .regex(/^\/[^:]*(:\/[^:]*)*$/, 'absolute paths with ":" between them')
      .optional(),
    hfEndpoint: endpoint.optional(),
    hfToken: z.string('expected a text').optional(),
    modelscopeEndpoint: endpoint.optional(),
    modelscopeToken: z.string('expected a text').optional(),
    /** Files in PEM. With certificate and key the file service speaks TLS; the authority is that of the other nodes'. */
    tlsCert: z.string().startsWith('/', 'an absolute path').optional(),
    tlsKey: z.string().startsWith('/', 'an absolute path').optional(),
    tlsCa: z.string().startsWith('/', 'an absolute path').optional(),
    /** Megabytes a second that copies from other nodes may take together. */
    copyRate: z.coerce.number().positive().optional(),
  })
  .refine(({ tlsCert, tlsKey }) => !tlsCert === !tlsKey, {
    path: ['tlsKey'],
    message: 'given together with PRETRAIN_TLS_CERT, or not at all',
  });

export type NodeConfig = z.infer<typeof nodeConfig>;

/** Environment variable of each setting; `PRETRAIN_CONFIG` names a JSON file with the settings themselves. */
const VARIABLES: Record<keyof NodeConfig, string> = {
  name: 'PRETRAIN_NODE',
  address: 'PRETRAIN_ADDRESS',
  port: 'PRETRAIN_PORT',
  data: 'PRETRAIN_DATA',
  mindspeed: 'MINDSPEED_LLM',
  checkout: 'PRETRAIN_CHECKOUT',
  profile: 'PRETRAIN_PROFILE',
  devices: 'PRETRAIN_DEVICES',
  pool: 'PRETRAIN_POOL',
  python: 'PRETRAIN_PYTHON',
  root: 'PRETRAIN_HOST_ROOT',
  sources: 'PRETRAIN_SOURCES',
  exports: 'PRETRAIN_EXPORTS',
  hfEndpoint: 'HF_ENDPOINT',
  hfToken: 'HF_TOKEN',
  modelscopeEndpoint: 'MODELSCOPE_ENDPOINT',
  modelscopeToken: 'MODELSCOPE_API_TOKEN',
  tlsCert: 'PRETRAIN_TLS_CERT',
  tlsKey: 'PRETRAIN_TLS_KEY',
  tlsCa: 'PRETRAIN_TLS_CA',
  copyRate: 'PRETRAIN_COPY_RATE',
};

/** What workers read besides, and what they give to those that they start. */
const OTHERS = [
  ...['PRETRAIN_CONFIG', 'PRETRAIN_CODEC_KEYS', 'PRETRAIN_METRICS', 'PRETRAIN_CONTROL', 'PRETRAIN_REPORTS'],
  ...['PRETRAIN_DASHBOARD', 'PRETRAIN_DASHBOARD_TOKEN', 'PRETRAIN_TEMPORAL_UI', 'PRETRAIN_TOKEN', 'PRETRAIN_GUARD'],
];

/** Of sibling projects, whose checkouts may be beside MindSpeed-LLM's. */
const SIBLINGS = ['MINDSPEED_MM', 'MINDSPEED_RL'];

type Environment = Record<string, string | undefined>;

/** @throws Error that names each variable that is nearly one of a worker's, and which is meant */
export function refuseMisspelled(env: Environment = process.env): void {
  const wrong = misspelled(
    Object.keys(env).filter((name) => /^(PRETRAIN|MINDSPEED)_/.test(name)),
    [...Object.values(VARIABLES), ...OTHERS, ...SIBLINGS],
  );
  if (wrong.length === 0) return;
  const lines = wrong.map(({ name, meant }) => `  ${name}: no setting of a worker; is ${meant} meant?`);
  throw new Error(`this worker's environment is wrong:\n${lines.join('\n')}`);
}

/**
 * Settings of a node worker: environment over file over defaults.
 * @throws Error with a line for each setting that is wrong, naming its variable
 */
export function readNodeConfig(env: Environment = process.env): NodeConfig {
  const file = env['PRETRAIN_CONFIG'] ? readConfigFile(env['PRETRAIN_CONFIG']) : {};
  const fromEnv = Object.fromEntries(
    Object.entries(VARIABLES).flatMap(([key, variable]) => (env[variable] ? [[key, env[variable]]] : [])),
  );
  const said: Record<string, unknown> = { ...file, ...fromEnv };
  const profile = said['profile'] ?? (said['mindspeed'] ? 'npu' : 'cpu');
  const settings = {
    name: hostname(),
    address: firstAddress(),
    port: 0,
    pool: 'default',
    ...modelscopeDomain(env),
    mindspeed: referenceBackend,
    devices: profile === 'npu' ? (podDevices(env) ?? 8) : 1,
    python: profile === 'npu' ? 'python3' : resolve(root, '.venv/bin/python'),
    root: '/',
    ...said,
    profile,
  };
  const result = nodeConfig.safeParse(settings);
  if (result.success) return result.data;
  const lines = result.error.issues.map((issue) => {
    const key = issue.path[0] as keyof NodeConfig | undefined;
    const variable = key && VARIABLES[key] ? VARIABLES[key] : issue.path.join('.');
    if (issue.code === 'unrecognized_keys') return `  PRETRAIN_CONFIG: no setting is called ${issue.keys.join(', ')}`;
    const value = key && (settings as Record<string, unknown>)[key];
    const shown = typeof value === 'string' ? told(value) : (JSON.stringify(value) ?? 'nothing');
    const said = key === 'hfToken' || key === 'modelscopeToken' ? 'something else' : shown;
    return `  ${variable}: ${issue.message}, got ${said}`;
  });
  throw new Error(`this node worker's settings are wrong:\n${lines.join('\n')}`);
}

/** NPUs of the pod, where MindCluster's Ascend Operator made it (`MINDX_TASK_ID`; its env.go, 7.1.RC1 to 26.1.0). */
const podDevices = ({ MINDX_TASK_ID: job, LOCAL_WORLD_SIZE: devices }: Environment): string | undefined =>
  job && devices !== '0' ? devices : undefined;

/** Tokens that a run file may name, `tokens` in workflows/spec-fields.ts: no other variable of the worker's is for a hub. */
const HUB_TOKEN = /^(HF_TOKEN|MODELSCOPE_API_TOKEN)(_[A-Z0-9]+)*$/;

export const readHubTokens = (env: Environment = process.env): Record<string, string> =>
  Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => HUB_TOKEN.test(entry[0]) && Boolean(entry[1])),
  );

/** ModelScope's own SDK takes a host's name, with or without a scheme. */
const modelscopeDomain = ({ MODELSCOPE_DOMAIN: domain }: Environment): object =>
  domain ? { modelscopeEndpoint: /^https?:\/\//.test(domain) ? domain : `https://${domain}` } : {};

function readConfigFile(path: string): object {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as object;
  } catch (error) {
    // The parser's own words may quote a secret.
    const why = error instanceof SyntaxError ? 'is not JSON' : `cannot be read (${(error as Error).message})`;
    throw new Error(`PRETRAIN_CONFIG: ${path} ${why}`, { cause: error });
  }
}

/** File with the keys that payloads are sealed with, if they are. */
export const codecKeysFile = (env: Environment = process.env): string | undefined =>
  env['PRETRAIN_CODEC_KEYS'] || undefined;

/**
 * What a command inherits: the tool chain's own variables and no others, so no secret of the worker's leaks into a rank. Nor
 * the ranks and addresses that MindCluster's Ascend Operator gives a pod, in which other pods may lead than in a generation
 * (its rank table, too, numbers devices by pod): a launch has its own. What MindIO is to do is said in the run file.
 */
const INHERITED =
  /^(PATH|HOME|USER|LANG|LC_.*|TMPDIR|TZ|LD_LIBRARY_PATH|PYTHON.*|OMP_.*|OPENBLAS_.*|MKL_.*|ASCEND_.*|ATB_.*|HCCL_.*|TTP_(?!ADDR$).*|GLOO_.*|TORCH_.*|NPU_.*|CPU_AFFINITY_CONF|TASK_QUEUE_ENABLE|COMBINED_ENABLE|CUDA_DEVICE_MAX_CONNECTIONS|PYTORCH_.*|REFERENCE_.*)$/;

/** The Ascend Operator turns it off in jobs with `HIGH_AVAILABILITY` (its env.go, 7.3.0 to 26.1.0); so does a launch with MindIO. */
const WATCHDOG = 'HCCL_ASYNC_ERROR_HANDLING';

export function commandEnvironment(
  { address, profile }: NodeConfig,
  env: Environment = process.env,
): Record<string, string> {
  const inherited = Object.entries(env).filter(
    (entry): entry is [string, string] =>
      entry[1] !== undefined && INHERITED.test(entry[0]) && !(entry[0] === WATCHDOG && env['HIGH_AVAILABILITY']),
  );
  const nic = interfaceOf(address);
  return {
    ...(nic && { GLOO_SOCKET_IFNAME: nic }),
    ...(nic && profile === 'npu' && { HCCL_SOCKET_IFNAME: `=${nic}` }),
    ...(profile === 'cpu' && { OMP_NUM_THREADS: '1' }),
    CUDA_DEVICE_MAX_CONNECTIONS: '1',
    ...Object.fromEntries(inherited),
  };
}

export interface ControlConfig {
  /** Where reports of finished runs go. */
  reports: string;
  identity: string;
  /** Where the page to look at is served, if it is. */
  dashboard?: { host: string; port: number; token?: string; isDefault: boolean };
  /** Origins of Temporal's UI that may have payloads opened. */
  pages: string[];
}

const DASHBOARD = '127.0.0.1:7280';
/** Where a dev server shows its UI. */
const UI = 'http://127.0.0.1:8233,http://localhost:8233';

/** @throws Error when the page would be open to everybody */
export function readControlConfig(env: Environment = process.env): ControlConfig {
  const at = env['PRETRAIN_DASHBOARD'] || DASHBOARD;
  const token = env['PRETRAIN_DASHBOARD_TOKEN'] || undefined;
  const address = /^(.+):(\d{1,5})$/.exec(at);
  if (at !== 'off' && !(Number(address?.[2]) <= 65_535))
    throw new Error(
      `PRETRAIN_DASHBOARD: expected host:port with a port up to 65535, or "off", got ${JSON.stringify(at)}`,
    );
  const host = address?.[1]?.replace(/^\[(.*)\]$/, '$1');
  if (host && !/^(127\.\d+\.\d+\.\d+|::1|localhost)$/.test(host) && !token)
    throw new Error(
      `PRETRAIN_DASHBOARD_TOKEN: expected a token, since PRETRAIN_DASHBOARD = ${at} is open to other machines`,
    );
  const pages = (env['PRETRAIN_TEMPORAL_UI'] || UI).split(',');
  for (const page of pages)
    if (!URL.canParse(page) || new URL(page).origin !== page)
      throw new Error(`PRETRAIN_TEMPORAL_UI: expected origins such as ${UI}, got ${JSON.stringify(page)}`);
  return {
    pages,
    reports: resolve(env['PRETRAIN_REPORTS'] ?? resolve(root, 'reports')),
    identity: env['PRETRAIN_CONTROL'] ?? `control@${hostname()}`,
    ...(host && {
      dashboard: { host, port: Number(address![2]), isDefault: !env['PRETRAIN_DASHBOARD'], ...(token && { token }) },
    }),
  };
}

/** Where a worker's figures go: they are scraped from here, or sent to a collector of OpenTelemetry. */
export type MetricsConfig = { scrapedAt: string } | { sentTo: string };

/** @throws Error when `PRETRAIN_METRICS` is neither */
export function readMetricsConfig(env: Environment = process.env): MetricsConfig | undefined {
  const at = env['PRETRAIN_METRICS'] || 'off';
  if (at === 'off') return undefined;
  if (holdsPassword(at)) throw new Error(`PRETRAIN_METRICS: expected ${NO_PASSWORD}`);
  if (/^https?:\/\/[^/\s]+/.test(at)) return { sentTo: at };
  const [, host, port] = /^(\[[0-9a-fA-F:]+\]|[\d.]+):(\d{1,5})$/.exec(at) ?? [];
  if (host && isIP(host.replace(/[[\]]/g, '')) && Number(port) <= 65_535) return { scrapedAt: at };
  throw new Error(
    `PRETRAIN_METRICS: expected an IP address and port to be scraped at, the http:// or https:// address of an OpenTelemetry collector, or "off", got ${JSON.stringify(at)}`,
  );
}

function firstAddress(): string {
  const external = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal);
  return external?.address ?? '127.0.0.1';
}

/** The interface that carries an address: left alone, gloo and HCCL pick one that differs between nodes. */
function interfaceOf(address: string): string | undefined {
  return Object.entries(networkInterfaces()).find(([, addresses]) =>
    addresses?.some((a) => a.address === address),
  )?.[0];
}
