import Broker
print("brokerd")
