// A certified OpenID Connect provider, as the tests start it: `node provider.mjs MODULES ISSUER PORT
// ACCOUNTS`, with the folder where package.json is installed.
//
// ACCOUNTS is a JSON file of claims by subject, read at each login. Keys are new with each start. PKCE is required, and
// the claims of scopes are in the user info only, or in ID tokens with `--claims-in-id-token`.
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';

const [modules, issuer, port, accounts] = process.argv.slice(2);
const { Provider } = await import(`${modules}/oidc-provider/lib/index.js`);
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const key = { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256' };

const provider = new Provider(issuer, {
  clients: [{
    client_id: 'headgate',
    client_secret: 'secret of headgate: %+&=:',
    redirect_uris: ['http://gate.test/admin/auth/oidc/callback'],
  }],
  jwks: { keys: [key] },
  cookies: { keys: ['for tests'] },
  scopes: ['openid', 'email', 'profile', 'groups'],
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'], groups: ['groups'] },
  conformIdTokenClaims: !process.argv.includes('--claims-in-id-token'),
  pkce: { required: () => true },
  features: { devInteractions: { enabled: true } },
  async findAccount(_ctx, sub) {
    const claims = JSON.parse(readFileSync(accounts, 'utf8'))[sub];
    return claims && { accountId: sub, claims: async () => ({ sub, ...claims }) };
  },
});
// Behind a front that ends TLS.
provider.proxy = true;
if (issuer.startsWith('https:')) {
  provider.use((ctx, next) => {
    ctx.req.headers['x-forwarded-proto'] = 'https';
    return next();
  });
}
provider.listen(Number(port), '127.0.0.1', () => console.log('ready'));
