import time, httpx
def test_flake(service):
    asked={"consumer_id": "c", "site_id": "kitchen", "n": 51}
    bad=[]
    for i in range(300):
        a=httpx.post(service.url+"/v1/decisions",headers={"Authorization":f"Bearer {service.keys.pans}"},json=asked)
        if a.status_code!=400 or "51" not in a.json()["detail"]: bad.append((a.status_code,a.text))
    assert not bad, bad[:3]
    t=time.time()
    asked["n"]=1
    for i in range(500):
        a=service.call("POST","/v1/decisions",key=service.keys.pans,json=asked); assert a.status_code==200
    print("per s", 500/(time.time()-t))
    print(service.log.read_text()[-3000:])
    for i in range(3):
        t=time.time(); a=service.client.get(service.url+"/v1/openapi.json"); 
    print(service.call("GET","/v1/metrics").text[:1500])
