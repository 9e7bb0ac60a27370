#!/usr/bin/env python3
"""Asks nats-server for permission verdicts and writes Tests/BrokerTests/AuthPermissionVerdicts.swift. Run by hand."""
import socket, subprocess, tempfile, os, time, json, re
NATS='/tmp/peer/venv/bin/nats-server'
class Server:
    def __init__(self, conf, port, extra=()):
        self.port=port
        self.dir=tempfile.mkdtemp()
        self.conf=os.path.join(self.dir,'c.conf')
        open(self.conf,'w').write(conf)
        self.log=os.path.join(self.dir,'log')
        self.p=subprocess.Popen([NATS,'-a','127.0.0.1','-p',str(port),'-c',self.conf,'-D','-l',self.log,*extra])
        for _ in range(100):
            try:
                socket.create_connection(('127.0.0.1',port)).close(); return
            except OSError:
                if self.p.poll() is not None: break
                time.sleep(0.05)
        print(open(self.log).read() if os.path.exists(self.log) else 'no log'); raise SystemExit('no start')
    def stop(self): self.p.terminate(); self.p.wait()
class Conn:
    def __init__(self, port, connect=None):
        self.s=socket.create_connection(('127.0.0.1',port)); self.s.settimeout(3); self.buf=b''
        self.info=json.loads(self.line()[5:])
        if connect is not None:
            self.send(b'CONNECT '+(connect if isinstance(connect,bytes) else json.dumps(connect).encode())+b'\r\n')
    def send(self,b): self.s.sendall(b)
    def line(self):
        while b'\n' not in self.buf:
            d=self.s.recv(65536)
            if not d: raise EOFError(self.buf)
            self.buf+=d
        l,_,self.buf=self.buf.partition(b'\n'); return l.rstrip(b'\r')
    def sync(self):
        """PING, and everything up to the PONG"""
        out=[]
        try:
            self.send(b'PING\r\n')
            while True:
                l=self.line()
                if l==b'PONG': return out
                if l==b'PING': self.send(b'PONG\r\n'); continue
                if l.startswith(b'INFO'): continue
                out.append(l.decode('utf8','replace'))
        except (EOFError,OSError) as e:
            out.append('EOF'); return out
    def close(self): self.s.close()

import random, sys
R=random.Random(int(sys.argv[1]) if len(sys.argv)>1 else 7)
N=int(sys.argv[2]) if len(sys.argv)>2 else 60
def pat(maxn=3):
    n=R.randint(1,maxn); t=[R.choice(['a','b','a','b','*']) for _ in range(n)]
    if R.random()<.3: t[-1]='>'
    return '.'.join(t)
def sp(): return pat()+R.choice(['']*4+[' q',' q.*',' *',' >',' q.1',' w'])
def plist(f): return [f() for _ in range(R.randint(1,3))]
hand=[
 {"publish":{"allow":["a.>"],"deny":["a.b"]},"subscribe":{"allow":["a.>"],"deny":["a.b"]}},
 {"subscribe":{"deny":["*.b"]}},
 {"subscribe":{"deny":["a.b.>"]}},
 {"subscribe":{"deny":["a.b q"]}},
 {"subscribe":{"allow":["a.*"]}},
 {"subscribe":{"allow":["a q"]}},
 {"subscribe":{"allow":["a","a q"]}},
 {"subscribe":{"allow":["a q.*","b >"]}},
 {"subscribe":{"allow":[">"],"deny":["a q"]}},
 {"subscribe":{"allow":[">"],"deny":["> q"]}},
 {"publish":{"allow":[]},"subscribe":{"allow":[]}},
 {"publish":{"deny":[]},"subscribe":{"deny":[]}},
 {"publish":"a","subscribe":"b"},
 {"publish":["a","b.*"]},
 {"publish":{"deny":">"}},
 {"allow_responses":True},
 {"allow_responses":True,"publish":{"deny":["a"]}},
 {"allow_responses":True,"publish":{"allow":["a"]}},
 {"publish":{"deny":["a"]},"subscribe":"a.>"},
 {},
]
perms=list(hand)
for i in range(N):
    p={}
    if R.random()<.8:
        q={}
        if R.random()<.7:q["allow"]=plist(pat)
        if R.random()<.6:q["deny"]=plist(pat)
        if q: p["publish"]=q
    q={}
    if R.random()<.7:q["allow"]=plist(sp)
    if R.random()<.7:q["deny"]=plist(sp)
    if q: p["subscribe"]=q
    perms.append(p)
users=[{"user":"u%d"%i,"password":"p","permissions":p} for i,p in enumerate(perms)]
conf='authorization { users = [ {user: admin, password: p},\n'+',\n'.join(json.dumps(u) for u in users)+'] }\n'
s=Server(conf,14556)
pubs=['a','b','c','a.a','a.b','b.b','c.b','a.b.a','a.b.c','b.a.b','a.*','a.>','*','>','*.b','a.b.>','c.c.c.c','a..b','.a','a.']
subs=[]
for x in ['a','b','a.b','a.a','b.b','a.*','*.b','*','>','a.>','*.*','a.b.*','a.*.b','*.*.*','a.b.>','*.b.>','c']:
    subs.append((x,''))
for x in ['a','a.b','a.*','>','a.>']:
    for q in ['q','q.1','q.2','*','w','q.*']: subs.append((x,q))
lits=['a','b','c','a.a','a.b','b.b','c.b','a.b.a','a.b.c','b.a.b','c.c']
rows=[]
admin=Conn(14556,{"verbose":False,"pedantic":False,"user":"admin","pass":"p"}); admin.sync()
for u in users:
    k=Conn(14556,{"verbose":False,"pedantic":False,"user":u["user"],"pass":"p"}); assert k.sync()==[]
    okp=[]
    for x in pubs:
        k.send(b'PUB %s 0\r\n\r\n'%x.encode()); r=k.sync()
        if r==[]: okp.append(x)
        else: assert 'Publish to' in r[0],r
    k.close()
    sv=[]
    conns=[]
    for (x,q) in subs:
        k=Conn(14556,{"verbose":False,"pedantic":False,"user":u["user"],"pass":"p"})
        k.send(('SUB %s %s 1\r\n'%(x,q)).encode()); r=k.sync()
        if r: sv.append(None); assert 'Subscription to' in r[0],r; conns.append(None); k.close(); continue
        conns.append(k)
        sv.append([])
    for l in lits: admin.send(b'PUB %s 0\r\n\r\n'%l.encode())
    admin.sync()
    # deliver per subscription separately for queues: same queue groups share, so do them one at a time
    for i,k in enumerate(conns):
        if k is None: continue
        if subs[i][1]=='':
            sv[i]=[m.split()[1] for m in k.sync() if m.startswith('MSG')]
        k.close()
    admin.sync()
    for i,(x,q) in enumerate(subs):
        if q=='' or conns[i] is None: continue
        k=Conn(14556,{"verbose":False,"pedantic":False,"user":u["user"],"pass":"p"})
        k.send(('SUB %s %s 1\r\n'%(x,q)).encode()); r=k.sync(); assert r==[]
        for l in lits: admin.send(b'PUB %s 0\r\n\r\n'%l.encode())
        admin.sync()
        sv[i]=[m.split()[1] for m in k.sync() if m.startswith('MSG')]; k.close()
    rows.append({"permissions":u["permissions"],"publish":okp,"subscribe":sv})
s.stop()
json.dump({"publishSubjects":pubs,"subscriptions":subs,"literals":lits,"rows":rows},open('/tmp/verdicts.json','w'))
import json
d=json.load(open('/tmp/verdicts.json'))
lits=d["literals"]
def lst(x): return [x] if isinstance(x,str) else x
def norm(p):
    o={}
    for k in ("publish","subscribe"):
        if k in p:
            v=p[k]
            if not isinstance(v,dict): v={"allow":v}
            q={}
            if v.get("allow"): q["allow"]=lst(v["allow"])
            if v.get("deny"): q["deny"]=lst(v["deny"])
            o[k]=q
    if p.get("allow_responses"): o["allow_responses"]=True
    return o
rows=[]
for r in d["rows"]:
    rows.append({"p":norm(r["permissions"]),
      "pub":[int(x in r["publish"]) for x in d["publishSubjects"]],
      "sub":[-1 if v is None else sum(1<<i for i,l in enumerate(lits) if l in v) for v in r["subscribe"]]})
out='// Verdicts of nats-server 2.15.1, recorded by Tests/scripts/record_permissions.py. Not edited by hand.\n\n'
out+='/// For each set of permissions: which subjects could be published to, and for each subscription -1 where it was refused,\n/// or else a bit per literal subject that was delivered.\nlet recordedPermissionVerdicts = #"""\n'
out+='{"publishSubjects":%s,\n"subscriptions":%s,\n"literals":%s,\n"rows":[\n'%(json.dumps(d["publishSubjects"]),json.dumps([list(s) for s in d["subscriptions"]]),json.dumps(lits))
out+=',\n'.join(json.dumps(r,separators=(',',':')) for r in rows)
out+='\n]}\n"""#\n'
open('Tests/BrokerTests/AuthPermissionVerdicts.swift','w').write(out)
print(len(out))
