(module
    (type (array (mut (ref null 10))))
  )