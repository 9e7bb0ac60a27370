print("crash: nothing yet")
